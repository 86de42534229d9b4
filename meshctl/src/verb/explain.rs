//! `meshctl explain --from shop/web --to api.shop GET /cart/1`: where a request goes, who may send it, and why.
//!
//! The control plane answers with the very resources that the proxies are sent ([`told`]); what follows from
//! them is decided here by the code that proxies decide with, first for the caller's proxy, then for the proxy of
//! the endpoint that was chosen ([`answer`]). What a proxy has learned by itself (breakers, latencies) stays in
//! the proxy: the explanation takes one that has learned nothing, and says so.

mod answer;
mod question;
mod told;

use anyhow::Context;
use weft_proto::v1;

use super::{Shell, namespaced};
use crate::outcome::Outcome;

use answer::Answer;
use question::{Question, To, header};
use told::Told;

/// Explain what happens to a request and why: route, split, endpoint, who may call.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// The workload that calls.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = namespaced)]
    from: String,
    /// What it calls: a host as the application writes it, or a Service as namespace/name; port 80 if none is said.
    #[arg(long, value_name = "HOST[:PORT]")]
    to: To,
    /// The request's method.
    #[arg(value_name = "METHOD")]
    method: http::Method,
    /// Its path, with a query if it has one.
    #[arg(value_name = "PATH", default_value = "/")]
    path: String,
    /// A header, `name: value`; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "HEADER", value_parser = header)]
    headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// The draw of an access log line (its `draw`, 16 hex digits): repeats the very choices that were made.
    #[arg(long, value_name = "HEX", value_parser = question::draw)]
    draw: Option<u64>,
}

impl Explain {
    /// A request that the mesh answers itself is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let question = Question::new(self.to, self.method, &self.path, self.headers, self.draw)?;
        let request = v1::ExplainRequest {
            from: self.from.clone(),
            to: question.to.host.clone(),
            port: u32::from(question.to.port),
        };
        let reply = shell.asked().await?.explain(request).await?;
        let told =
            Told::read(&reply).context("this meshctl cannot read what the control plane tells proxies")?;
        let answer = Answer::of(&self.from, &question, &told);
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(!answer.delivered))
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl explain --from shop/web --to api.shop GET /cart/1
  meshctl explain --from shop/web --to api.shop:8080 GET /cart -H 'x-canary:always'
  meshctl explain --from shop/web --to api.shop GET /cart --draw 00c0ffee00c0ffee";
