//! A call of the application's own, on its way out: where it goes, who may answer it, and how often it is tried.
//!
//! [`connection`] finds out what is spoken; [`http`] carries requests, [`tcp`] bytes. Both decide with
//! `policy`, and what leads outside the mesh goes through [`outside`].

pub(crate) mod connection;
pub(crate) mod http;
mod filters;
mod tries;
mod attempt;
mod outside;
mod tcp;
