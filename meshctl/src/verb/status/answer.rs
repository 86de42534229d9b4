//! The control plane's answer to "how does it stand?", as scripts and people read it.

use serde::Serialize;
use weft_proto::v1;

use crate::clock::{relative, unix_now};
use crate::output::{Align, Page, Table, Tell, Tone};

/// How the mesh stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    /// Of the control plane that answered.
    pub(crate) replica: String,
    pub(crate) build: String,
    pub(crate) trust_domain: String,
    /// The newest change.
    pub(crate) revision: u64,
    /// How many resources it has compiled.
    pub(crate) resources: u32,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) objects: Vec<Object>,
    /// Whether objects without a problem are on the page; scripts get all of them.
    #[serde(skip)]
    show_all: bool,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Proxy {
    pub(crate) workload: String,
    pub(crate) identity: String,
    pub(crate) build: String,
    /// Whether its stream is open.
    pub(crate) attached: bool,
    pub(crate) applied_revision: u64,
    /// Whether there is nothing that it should have and has not acknowledged.
    pub(crate) current: bool,
    pub(crate) phase: String,
    /// Of its application.
    pub(crate) health: String,
    pub(crate) certificate_expires_unix: u64,
    pub(crate) rejected: Vec<Rejection>,
}

/// A resource that a proxy would not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rejection {
    pub(crate) resource: String,
    pub(crate) field: String,
    pub(crate) detail: String,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Object {
    pub(crate) object: String,
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) conditions: Vec<Condition>,
}

/// One condition of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Condition {
    pub(crate) r#type: String,
    pub(crate) status: bool,
    pub(crate) reason: String,
    pub(crate) message: String,
}

impl Answer {
    /// Reads the reply.
    pub(crate) fn read(reply: v1::StatusReply, show_all: bool) -> Self {
        Self {
            replica: reply.replica,
            build: reply.build,
            trust_domain: reply.trust_domain,
            revision: reply.now.map_or(0, |now| now.revision),
            resources: reply.resources,
            proxies: reply.proxies.into_iter().map(Proxy::from).collect(),
            objects: reply.objects.into_iter().map(Object::from).collect(),
            show_all,
        }
    }

    /// Whether somebody should look.
    pub(crate) fn has_problem(&self) -> bool {
        self.proxies.iter().any(Proxy::has_problem) || self.objects.iter().any(Object::has_problem)
    }
}

impl Proxy {
    /// A proxy that is away is no problem by itself: laptops close.
    pub(crate) fn has_problem(&self) -> bool {
        !self.rejected.is_empty() || self.is_behind()
    }

    /// There, and without something that it should have.
    pub(crate) fn is_behind(&self) -> bool {
        self.attached && !self.current
    }

    fn state(&self) -> (Tone, &'static str) {
        match (self.attached, self.rejected.is_empty(), self.current) {
            (false, ..) => (Tone::Faint, "away"),
            (true, false, _) => (Tone::Bad, "rejects"),
            (true, true, false) => (Tone::Warn, "behind"),
            (true, true, true) => (Tone::Good, "current"),
        }
    }
}

impl Object {
    /// Whether it is not, or not wholly, in force.
    pub(crate) fn has_problem(&self) -> bool {
        self.conditions.iter().any(Condition::is_problem)
    }
}

impl Condition {
    /// Every condition says something good when true, but for this one of the Gateway API.
    fn is_problem(&self) -> bool {
        self.status == (self.r#type == "PartiallyInvalid")
    }
}

impl From<v1::ProxyStatus> for Proxy {
    fn from(wire: v1::ProxyStatus) -> Self {
        let report = wire.report.unwrap_or_default();
        let phase = match report.phase() {
            v1::report::Phase::Unspecified => "unknown",
            v1::report::Phase::Starting => "starting",
            v1::report::Phase::Serving => "serving",
            v1::report::Phase::Going => "going",
        };
        let health = match report.application() {
            v1::Health::Healthy => "healthy",
            v1::Health::Unconfirmed => "unconfirmed",
            v1::Health::Draining => "draining",
            v1::Health::Unhealthy => "unhealthy",
        };
        Self {
            workload: wire.workload,
            identity: wire.identity,
            build: wire.build,
            attached: wire.attached,
            applied_revision: wire.applied_revision,
            current: wire.current,
            phase: phase.to_owned(),
            health: health.to_owned(),
            certificate_expires_unix: report.cert_not_after_unix,
            rejected: wire.rejected.into_iter().map(Rejection::from).collect(),
        }
    }
}

impl From<v1::Rejection> for Rejection {
    fn from(wire: v1::Rejection) -> Self {
        let kind = match wire.r#type() {
            v1::Type::Unspecified => "Resource",
            v1::Type::Trust => "Trust",
            v1::Type::Inbound => "Inbound",
            v1::Type::Endpoints => "Endpoints",
            v1::Type::Service => "Service",
            v1::Type::Routes => "Routes",
        };
        Self { resource: format!("{kind} {}", wire.name), field: wire.path, detail: wire.detail }
    }
}

impl From<v1::ObjectStatus> for Object {
    fn from(wire: v1::ObjectStatus) -> Self {
        let conditions = wire.conditions.into_iter().map(|condition| Condition {
            r#type: condition.r#type,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
        });
        Self { object: wire.object, file: wire.file, line: wire.line, conditions: conditions.collect() }
    }
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        let Self { trust_domain, revision, resources, replica, build, .. } = self;
        page.line(format!(
            "{} at revision {revision}, {resources} resources, {replica} ({build})",
            page.paint(Tone::Strong, trust_domain)
        ));
        page.gap();
        if self.proxies.is_empty() {
            page.toned(Tone::Faint, "no proxy has attached yet: start one with `meshctl run`");
        }
        self.tell_proxies(page);
        self.tell_objects(page);
    }
}

impl Answer {
    fn tell_proxies(&self, page: &mut Page) {
        let now = unix_now();
        let mut table = Table::new(&[
            ("PROXY", Align::Left),
            ("STATE", Align::Left),
            ("APPLIED", Align::Right),
            ("APPLICATION", Align::Left),
            ("CERTIFICATE ENDS", Align::Left),
            ("IDENTITY", Align::Left),
        ]);
        for proxy in &self.proxies {
            let (tone, state) = proxy.state();
            let health = if proxy.phase == "serving" { &proxy.health } else { &proxy.phase };
            let well = if health == "healthy" { Tone::Plain } else { Tone::Warn };
            table.row([
                (Tone::Plain, proxy.workload.clone()),
                (tone, state.to_owned()),
                (Tone::Plain, proxy.applied_revision.to_string()),
                (well, health.clone()),
                (Tone::Plain, relative(proxy.certificate_expires_unix, now)),
                (Tone::Faint, proxy.identity.clone()),
            ]);
        }
        page.table(&table);
        for proxy in &self.proxies {
            for Rejection { resource, field, detail } in &proxy.rejected {
                let at = if field.is_empty() { String::new() } else { format!(", {field}") };
                page.toned(Tone::Bad, format!("{} rejects {resource}{at}: {detail}", proxy.workload));
            }
        }
    }

    fn tell_objects(&self, page: &mut Page) {
        let mut table = Table::of_words(&["OBJECT", "CONDITION", "REASON", "MESSAGE", "FILE"]);
        for object in &self.objects {
            for condition in object.conditions.iter().filter(|c| self.show_all || c.is_problem()) {
                let tone = if condition.is_problem() { Tone::Bad } else { Tone::Good };
                let place = if object.line == 0 {
                    object.file.clone()
                } else {
                    format!("{}:{}", object.file, object.line)
                };
                table.row([
                    (Tone::Plain, object.object.clone()),
                    (tone, format!("{}={}", condition.r#type, condition.status)),
                    (Tone::Plain, condition.reason.clone()),
                    (Tone::Plain, condition.message.clone()),
                    (Tone::Faint, place),
                ]);
            }
        }
        page.gap();
        page.table(&table);
        if !self.objects.is_empty() && !self.objects.iter().any(Object::has_problem) {
            page.toned(Tone::Good, format!("{} objects, none with a problem", self.objects.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> v1::StatusReply {
        let proxy = |workload: &str, attached, current| v1::ProxyStatus {
            workload: workload.into(),
            attached,
            current,
            applied_revision: 7,
            ..Default::default()
        };
        v1::StatusReply {
            now: Some(v1::Seen { epoch: vec![1], revision: 8 }),
            trust_domain: "weft.local".into(),
            proxies: vec![proxy("shop/web", true, true), proxy("shop/away", false, false)],
            objects: vec![v1::ObjectStatus {
                object: "HTTPRoute shop/api".into(),
                conditions: vec![v1::Condition {
                    r#type: "Accepted".into(),
                    status: true,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        }
    }

    fn page(answer: &Answer) -> String {
        let mut page = Page::new(false);
        answer.tell(&mut page);
        page.into_text()
    }

    #[test]
    fn a_mesh_where_all_is_applied_has_no_problem() {
        let answer = Answer::read(reply(), false);
        assert!(!answer.has_problem(), "{}", page(&answer));
        assert!(page(&answer).contains("1 objects, none with a problem"), "{}", page(&answer));
    }

    #[test]
    fn laggards_rejections_and_false_conditions_are_problems() {
        let mut behind = reply();
        behind.proxies[0].current = false;
        let mut rejecting = reply();
        rejecting.proxies[0].rejected.push(v1::Rejection {
            r#type: v1::Type::Routes.into(),
            name: "shop/api".into(),
            path: "rules[0]".into(),
            detail: "is odd".into(),
            version: 1,
        });
        let mut refused = reply();
        refused.objects[0].conditions[0].status = false;
        let mut partly = reply();
        partly.objects[0].conditions[0].r#type = "PartiallyInvalid".into();
        for (reply, want) in [
            (behind, "behind"),
            (rejecting, "shop/web rejects Routes shop/api, rules[0]: is odd"),
            (refused, "Accepted=false"),
            (partly, "PartiallyInvalid=true"),
        ] {
            let answer = Answer::read(reply, false);
            assert!(answer.has_problem() && page(&answer).contains(want), "{}", page(&answer));
        }
    }

    #[test]
    fn scripts_read_revisions_and_conditions_by_name() {
        let json = serde_json::to_value(Answer::read(reply(), false)).unwrap();
        assert_eq!(json["revision"], 8);
        assert_eq!(json["proxies"][0]["applied_revision"], 7);
        assert_eq!(json["objects"][0]["conditions"][0]["type"], "Accepted");
    }
}
