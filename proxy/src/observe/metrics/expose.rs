//! The tables as metric families. A number that is zero because nothing of its kind ever happened is left out:
//! ten methods times six classes per route would be mostly zeros.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::handles::{Breakers, Classes, Counter, Gauge, METHODS, Requests, STATUS_CLASSES};
use super::{Direction, RequestName, Tables};
use crate::observe::panics;

#[derive(Debug)]
pub(super) struct Exposed(pub(super) Arc<Tables>);

impl Collector for Exposed {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let families = &mut encoder;
        requests(families, &self.0.requests.read())?;
        tcp(families, &self.0)?;
        breakers(families, &self.0.breakers.read())?;
        let Tables { tls_refused, tls_handshakes, detections, dropped, plaintext, .. } = &*self.0;

        let mut family = counter(families, "weft_plaintext_requests", "Requests that came without mTLS.")?;
        for (service, series) in plaintext.read() {
            family.count(&[("service", &service), ("verdict", "allowed")], &series.allowed)?;
            family.count(&[("service", &service), ("verdict", "denied")], &series.denied)?;
        }
        let mut family = counter(families, "weft_tls_refused", "Handshakes that came to nothing, and why.")?;
        for ((side, reason), count) in tls_refused.read() {
            family.count(&[("side", side.label()), ("reason", reason)], &count)?;
        }
        let help = "Handshakes between sidecars: in full, or resumed from an earlier session.";
        let mut family = counter(families, "weft_tls_handshakes", help)?;
        for ((side, kind), count) in tls_handshakes.read() {
            family.count(&[("side", side.label()), ("kind", kind)], &count)?;
        }
        for (name, label, help, table) in [
            (
                "weft_detected_connections",
                "protocol",
                "Connections by what their first bytes were.",
                detections,
            ),
            (
                "weft_telemetry_dropped",
                "kind",
                "Log lines and spans that were dropped rather than waited for.",
                dropped,
            ),
        ] {
            let mut family = counter(families, name, help)?;
            for (value, count) in table.read() {
                family.count(&[(label, &value)], &count)?;
            }
        }
        let help = "Connections (h2) and messages (h1) refused for the bytes they are made of.";
        let mut family = counter(families, "weft_wire_refused", help)?;
        for ((protocol, rule), count) in self.0.wire_refusals.read() {
            family.count(&[("protocol", protocol), ("rule", rule)], &count)?;
        }
        // There from the beginning: nobody waits for the first one to be able to ask.
        counter(families, "weft_panics", "Tasks that ended by a defect of the proxy.")?
            .0
            .encode_counter(&panics::count(), NO_EXEMPLAR)?;
        gauge(
            families,
            "weft_certificate_expiry_seconds",
            "When this proxy's certificate expires, in seconds since 1970; 0 is never had one.",
        )?
        .level(&[], &self.0.certificate_expiry)?;
        gauge(
            families,
            "weft_control_plane_connected",
            "1 while the stream from the control plane is open.",
        )?
        .level(&[], &self.0.control_plane_connected)?;
        if let Some(redirected) = self.0.redirected.get() {
            let help = "1 once the application's connections are seen to come to this proxy.";
            gauge(families, "weft_redirected", help)?.level(&[], redirected)?;
        }
        Ok(())
    }
}

fn requests(families: &mut DescriptorEncoder<'_>, rows: &[(RequestName, Arc<Requests>)]) -> fmt::Result {
    let mut family = counter(
        families,
        "weft_requests",
        "Requests by how they ended; `refusal` is set where the proxy answered.",
    )?;
    for (name, series) in rows {
        for (method, classes) in METHODS.iter().zip(&series.answered) {
            family.classes(name, [("method", method), ("refusal", "")], classes)?;
        }
        let tokens = series.refusals.iter().chain(&["unlisted"]);
        for (token, classes) in tokens.zip(series.refused.get().into_iter().flatten()) {
            family.classes(name, [("method", ""), ("refusal", token)], classes)?;
        }
    }

    let help = "Until the response head, in seconds.";
    let mut family = open(families, "weft_request_duration_seconds", help, MetricType::Histogram)?;
    for (name, series) in rows {
        let (sum, count, buckets) = series.latency.read();
        if count > 0 {
            let labels = name.labels().to_vec();
            family.0.encode_family(&labels)?.encode_histogram(sum, count, &buckets, NO_EXEMPLARS)?;
        }
    }

    let mut family = counter(families, "weft_grpc_responses", "gRPC calls by their status.")?;
    for (name, series) in rows {
        for (code, count) in series.grpc.iter().enumerate() {
            family.count(&with(name, &[("grpc_status", &code.to_string())]), count)?;
        }
    }

    let mut family =
        counter(families, "weft_retries", "Retries that were sent, and that the budget did not allow.")?;
    for (name, series) in rows {
        family.count(&with(name, &[("outcome", "sent")]), &series.retries_sent)?;
        family.count(&with(name, &[("outcome", "budget_spent")]), &series.retries_denied)?;
    }

    let mut family = counter(families, "weft_request_body_bytes", "Body bytes towards the server.")?;
    for (name, series) in rows {
        family.count(&name.labels(), &series.request_bytes)?;
    }
    let mut family = counter(families, "weft_response_body_bytes", "Body bytes towards the client.")?;
    for (name, series) in rows {
        family.count(&name.labels(), &series.response_bytes)?;
    }
    let mut family = gauge(families, "weft_requests_in_flight", "Requests on their way.")?;
    for (name, series) in rows {
        family.level(&name.labels(), &series.in_flight)?;
    }
    Ok(())
}

fn tcp(families: &mut DescriptorEncoder<'_>, tables: &Tables) -> fmt::Result {
    let rows = tables.tcp.read();
    let mut family = counter(families, "weft_tcp_connections_opened", "Opaque connections.")?;
    for ((direction, service), series) in &rows {
        family.count(&[("direction", direction.label()), ("service", service)], &series.opened)?;
    }
    let help = "Opaque connections that were not carried, and why.";
    let mut family = counter(families, "weft_tcp_connections_refused", help)?;
    for ((direction, service), series) in &rows {
        let tokens = series.refusals.iter().chain(&["unlisted"]);
        for (token, count) in tokens.zip(series.refused.get().into_iter().flatten()) {
            let labels = [("direction", direction.label()), ("service", service), ("refusal", token)];
            family.count(&labels, count)?;
        }
    }
    let mut family =
        counter(families, "weft_tcp_bytes", "Bytes of opaque connections, seen from the client.")?;
    for ((direction, service), series) in &rows {
        for (flow, count) in [("sent", &series.sent), ("received", &series.received)] {
            family.count(&[("direction", direction.label()), ("service", service), ("flow", flow)], count)?;
        }
    }
    let mut family = gauge(families, "weft_tcp_connections", "Opaque connections that are open.")?;
    for ((direction, service), series) in &rows {
        family.level(&[("direction", direction.label()), ("service", service)], &series.open)?;
    }
    Ok(())
}

fn breakers(families: &mut DescriptorEncoder<'_>, rows: &[(Box<str>, Arc<Breakers>)]) -> fmt::Result {
    let mut family =
        gauge(families, "weft_breaker_endpoints", "Endpoints of a backend by the state of their breaker.")?;
    for (backend, series) in rows {
        for (state, level) in
            [("closed", &series.closed), ("open", &series.open), ("half_open", &series.half_open)]
        {
            family.level(&[("backend", backend), ("state", state)], level)?;
        }
    }
    let mut family = counter(families, "weft_breaker_trips", "How often a breaker has opened.")?;
    for (backend, series) in rows {
        family.count(&[("backend", backend)], &series.trips)?;
    }
    Ok(())
}

impl RequestName {
    fn labels(&self) -> [Label<'_>; 4] {
        [
            ("direction", self.direction.label()),
            ("service", &self.service),
            ("route", &self.route),
            ("backend", &self.backend),
        ]
    }
}

impl Direction {
    pub(in crate::observe) const fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

type Label<'a> = (&'a str, &'a str);

/// A family that is being written.
struct Family<'e>(MetricEncoder<'e>);

impl Family<'_> {
    fn count(&mut self, labels: &[Label<'_>], counter: &Counter) -> fmt::Result {
        match counter.load(Relaxed) {
            0 => Ok(()),
            value => self.0.encode_family(&labels.to_vec())?.encode_counter(&value, NO_EXEMPLAR),
        }
    }

    fn level(&mut self, labels: &[Label<'_>], gauge: &Gauge) -> fmt::Result {
        let value = gauge.load(Relaxed);
        if labels.is_empty() {
            return self.0.encode_gauge(&value);
        }
        self.0.encode_family(&labels.to_vec())?.encode_gauge(&value)
    }

    fn classes(&mut self, name: &RequestName, more: [Label<'_>; 2], classes: &Classes) -> fmt::Result {
        for (class, count) in STATUS_CLASSES.iter().zip(classes) {
            let [first, second] = more;
            // An empty label is no label to Prometheus; leaving it out says the same in fewer bytes.
            let extra: Vec<Label<'_>> = [first, second, ("status_class", class)]
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect();
            self.count(&with(name, &extra), count)?;
        }
        Ok(())
    }
}

fn with<'a>(name: &'a RequestName, more: &[Label<'a>]) -> Vec<Label<'a>> {
    name.labels().into_iter().chain(more.iter().copied()).collect()
}

/// A counter; its samples end in `_total`.
fn counter<'e>(
    families: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<Family<'e>, fmt::Error> {
    open(families, name, help, MetricType::Counter)
}

fn gauge<'e>(
    families: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
) -> Result<Family<'e>, fmt::Error> {
    open(families, name, help, MetricType::Gauge)
}

fn open<'e>(
    families: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<Family<'e>, fmt::Error> {
    families.encode_descriptor(name, help, None, kind).map(Family)
}

const NO_EXEMPLAR: Option<&Exemplar<Vec<Label<'static>>, u64>> = None;
const NO_EXEMPLARS: Option<&std::collections::HashMap<usize, Exemplar<Vec<Label<'static>>, f64>>> = None;
