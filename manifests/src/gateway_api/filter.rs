//! `filters[]` of rules and backends: every type of v1.6.1 is recognised, four are carried out.

use std::sync::Arc;

use crate::reader::{At, Fields};

use super::{Open, limit};

/// An `HTTPRouteFilter` or `GRPCRouteFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `RequestHeaderModifier`
    RequestHeaders(HeaderModifier),
    /// `ResponseHeaderModifier`
    ResponseHeaders(HeaderModifier),
    /// `RequestRedirect`
    Redirect(RequestRedirect),
    /// `URLRewrite`
    Rewrite(UrlRewrite),
    /// A type that is not carried out: `RequestMirror`, `CORS`, `ExternalAuth`, `ExtensionRef`, or one that came
    /// after v1.6.1. As written.
    NotCarried(Arc<str>),
}

/// Changes to header fields, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderModifier {
    /// Name and value.
    pub set: Vec<(Arc<str>, Arc<str>)>,
    /// Name and value.
    pub add: Vec<(Arc<str>, Arc<str>)>,
    /// Names.
    pub remove: Vec<Arc<str>>,
}

/// `requestRedirect`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestRedirect {
    /// `http` or `https`.
    pub scheme: Option<Arc<str>>,
    /// A precise host name.
    pub hostname: Option<Arc<str>>,
    /// A new path.
    pub path: Option<PathModifier>,
    /// A new port.
    pub port: Option<u16>,
    /// 301, 302, 303, 307 or 308; `None` is 302.
    pub status: Option<u16>,
}

/// `urlRewrite`, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlRewrite {
    /// A precise host name.
    pub hostname: Option<Arc<str>>,
    /// A new path.
    pub path: Option<PathModifier>,
}

/// An `HTTPPathModifier`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathModifier {
    /// Which of the two it is.
    pub kind: Open<PathModifierType>,
    /// `replaceFullPath` or `replacePrefixMatch`.
    pub with: Arc<str>,
}

/// `HTTPPathModifier.type`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathModifierType {
    /// All of the path.
    ReplaceFullPath,
    /// The prefix that the rule's only match names.
    ReplacePrefixMatch,
}

impl Filter {
    pub(crate) fn read_all(fields: &mut Fields<'_>) -> Vec<Self> {
        fields.items("filters", limit::FILTERS).iter().filter_map(Self::read).collect()
    }

    /// The word in `type`.
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
            Self::RequestHeaders(_) => "RequestHeaderModifier",
            Self::ResponseHeaders(_) => "ResponseHeaderModifier",
            Self::Redirect(_) => "RequestRedirect",
            Self::Rewrite(_) => "URLRewrite",
            Self::NotCarried(name) => name,
        }
    }

    /// A filter that cannot be read is logged, which keeps its route from being accepted: no request may pass
    /// by a filter that was meant for it.
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let kind = fields.need("type")?.text()?;
        let filter = match &*kind {
            "RequestHeaderModifier" => fields
                .need("requestHeaderModifier")
                .and_then(|at| HeaderModifier::read(&at))
                .map(Self::RequestHeaders),
            "ResponseHeaderModifier" => fields
                .need("responseHeaderModifier")
                .and_then(|at| HeaderModifier::read(&at))
                .map(Self::ResponseHeaders),
            "RequestRedirect" => {
                fields.need("requestRedirect").and_then(|at| RequestRedirect::read(&at)).map(Self::Redirect)
            }
            "URLRewrite" => fields.need("urlRewrite").and_then(|at| UrlRewrite::read(&at)).map(Self::Rewrite),
            _ => {
                fields.skip(&["requestMirror", "cors", "externalAuth", "extensionRef"]);
                Some(Self::NotCarried(Arc::clone(&kind)))
            }
        };
        if !matches!(filter, Some(Self::NotCarried(_))) {
            fields.finish();
        }
        filter
    }
}

impl HeaderModifier {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let pair = |at: &At<'_>| {
            let mut fields = at.fields()?;
            let name = fields.need("name").and_then(|at| at.text());
            let value = fields.need("value").and_then(|at| at.text());
            fields.finish();
            Some((name?, value?))
        };
        let set = fields.items("set", limit::HEADERS).iter().filter_map(pair).collect();
        let add = fields.items("add", limit::HEADERS).iter().filter_map(pair).collect();
        let remove = fields.items("remove", limit::HEADERS).iter().filter_map(At::text).collect();
        fields.finish();
        Some(Self { set, add, remove })
    }
}

impl RequestRedirect {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let redirect = Self {
            scheme: fields.get("scheme").and_then(|at| at.text()),
            hostname: fields.get("hostname").and_then(|at| at.text()),
            path: fields.get("path").and_then(|at| PathModifier::read(&at)),
            port: fields.get("port").and_then(|at| at.port()),
            status: fields.get("statusCode").and_then(|at| at.number(100, 599)),
        };
        fields.finish();
        Some(redirect)
    }
}

impl UrlRewrite {
    fn read(at: &At<'_>) -> Option<Self> {
        let mut fields = at.fields()?;
        let rewrite = Self {
            hostname: fields.get("hostname").and_then(|at| at.text()),
            path: fields.get("path").and_then(|at| PathModifier::read(&at)),
        };
        fields.finish();
        Some(rewrite)
    }
}

impl PathModifier {
    fn read(at: &At<'_>) -> Option<Self> {
        use PathModifierType::{ReplaceFullPath, ReplacePrefixMatch};
        let mut fields = at.fields()?;
        let kind = Open::read(
            &fields.need("type")?,
            &[("ReplaceFullPath", ReplaceFullPath), ("ReplacePrefixMatch", ReplacePrefixMatch)],
        )?;
        let with = match &kind {
            Open::Known(ReplaceFullPath) => fields.need("replaceFullPath").and_then(|at| at.text())?,
            Open::Known(ReplacePrefixMatch) => fields.need("replacePrefixMatch").and_then(|at| at.text())?,
            Open::Other(_) => return Some(Self { kind, with: Arc::default() }),
        };
        fields.finish();
        Some(Self { kind, with })
    }
}
