//! `meshctl endpoints [SERVICE]`: what is behind a Service, as proxies are told.

use anyhow::Context;
use serde::Serialize;
use weft_policy::endpoint::{EndpointSet, Health};
use weft_proto::decode;
use weft_proto::v1;
use weft_proto::value::Value;

use super::Shell;
use crate::outcome::Outcome;
use crate::output::{Align, Page, Table, Tell, Tone};

/// Show what is behind Services, as proxies are told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Endpoints {
    /// A Service, as namespace/name; left out: all of them.
    #[arg(value_name = "NAMESPACE/NAME", value_parser = super::namespaced)]
    service: Option<String>,
}

impl Endpoints {
    /// A Service without an endpoint that can be asked is a problem found.
    pub(crate) async fn run(self, shell: &Shell) -> anyhow::Result<Outcome> {
        let request = v1::EndpointsRequest { service: self.service.unwrap_or_default() };
        let answer = Answer::read(&shell.asked().await?.endpoints(request).await?)?;
        shell.output.print(&answer)?;
        Ok(Outcome::problem_if(answer.services.iter().any(Service::has_problem)))
    }
}

/// The endpoints of some Services.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) services: Vec<Service>,
}

/// One port of a Service.
#[derive(Debug, Serialize)]
pub(crate) struct Service {
    /// `shop/api:80`
    pub(crate) service: String,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// One endpoint.
#[derive(Debug, Serialize)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    /// Where callers connect: the sidecar's listener, or the application where there is none.
    pub(crate) address: String,
    /// The application's own port.
    pub(crate) target_port: u16,
    /// Who it must prove to be; empty: plaintext.
    pub(crate) identity: String,
    pub(crate) zone: String,
    pub(crate) weight: u32,
    pub(crate) health: &'static str,
}

impl Answer {
    /// Reads the resources.
    ///
    /// # Errors
    /// If this build cannot read what the control plane sends.
    pub(crate) fn read(reply: &v1::EndpointsReply) -> anyhow::Result<Self> {
        let mut services = Vec::with_capacity(reply.endpoints.len());
        for resource in &reply.endpoints {
            let decoded = decode::resource(resource)
                .with_context(|| format!("cannot read the endpoints of {}", resource.name))?;
            if let Value::Endpoints(set) = decoded.value {
                services.push(Service::of(&set));
            }
        }
        Ok(Self { services })
    }
}

impl Service {
    fn of(set: &EndpointSet) -> Self {
        let endpoints = set.endpoints().iter().map(|endpoint| Endpoint {
            name: endpoint.name.to_string(),
            address: endpoint.addr.to_string(),
            target_port: endpoint.target_port,
            identity: endpoint.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            zone: endpoint.zone.as_deref().unwrap_or_default().to_owned(),
            weight: endpoint.weight,
            health: health(endpoint.health),
        });
        Self { service: set.of.to_string(), endpoints: endpoints.collect() }
    }

    fn has_problem(&self) -> bool {
        !self.endpoints.iter().any(|endpoint| matches!(endpoint.health, "healthy" | "unconfirmed"))
    }
}

impl Tell for Answer {
    fn tell(&self, page: &mut Page) {
        let mut table = Table::new(&[
            ("SERVICE", Align::Left),
            ("ENDPOINT", Align::Left),
            ("ADDRESS", Align::Left),
            ("PORT", Align::Right),
            ("HEALTH", Align::Left),
            ("WEIGHT", Align::Right),
            ("ZONE", Align::Left),
            ("IDENTITY", Align::Left),
        ]);
        for service in &self.services {
            if service.endpoints.is_empty() {
                table.row([(Tone::Plain, service.service.clone()), (Tone::Bad, "none".to_owned())]);
            }
            for endpoint in &service.endpoints {
                let tone = match endpoint.health {
                    "healthy" => Tone::Good,
                    "unhealthy" => Tone::Bad,
                    _ => Tone::Warn,
                };
                let plaintext = endpoint.identity.is_empty();
                let identity = if plaintext { "plaintext".to_owned() } else { endpoint.identity.clone() };
                table.row([
                    (Tone::Plain, service.service.clone()),
                    (Tone::Plain, endpoint.name.clone()),
                    (Tone::Plain, endpoint.address.clone()),
                    (Tone::Plain, endpoint.target_port.to_string()),
                    (tone, endpoint.health.to_owned()),
                    (Tone::Plain, endpoint.weight.to_string()),
                    (Tone::Plain, endpoint.zone.clone()),
                    (if plaintext { Tone::Warn } else { Tone::Faint }, identity),
                ]);
            }
        }
        page.table(&table);
        if self.services.is_empty() {
            page.toned(Tone::Faint, "no Service has a port here");
        }
    }
}

const fn health(health: Health) -> &'static str {
    match health {
        Health::Healthy => "healthy",
        Health::Unconfirmed => "unconfirmed",
        Health::Draining => "draining",
        Health::Unhealthy => "unhealthy",
    }
}

const EXAMPLES: &str = "\
Examples:
  meshctl endpoints
  meshctl endpoints shop/api -o json";

#[cfg(test)]
mod tests {
    use super::*;
    use weft_policy::object::ServicePort;

    fn set(healths: &[Health]) -> EndpointSet {
        let endpoints = healths.iter().zip(1..).map(|(health, nth)| weft_policy::endpoint::Endpoint {
            name: format!("shop/api-{nth}").into(),
            addr: ([127, 0, 0, 1], 4000 + nth).into(),
            target_port: 80,
            identity: None,
            zone: None,
            weight: 1,
            health: *health,
        });
        EndpointSet::new(ServicePort::new("shop", "api", 80), endpoints.collect())
    }

    #[test]
    fn a_service_with_nothing_to_ask_is_a_problem() {
        for (healths, problem) in [
            (&[Health::Healthy, Health::Unhealthy][..], false),
            (&[Health::Unconfirmed], false),
            (&[Health::Unhealthy, Health::Draining], true),
            (&[], true),
        ] {
            assert_eq!(Service::of(&set(healths)).has_problem(), problem, "{healths:?}");
        }
    }
}
