//! One answer of several control planes: each knows the proxies that are attached to it, and all know the same objects.

use std::collections::BTreeMap;

use weft_proto::v1;

/// All proxies; and of an object what the first says that has something to object, since each judges by its own proxies.
pub(crate) fn merged(replies: Vec<v1::StatusReply>) -> v1::StatusReply {
    let mut replies = replies.into_iter();
    let mut all = replies.next().unwrap_or_default();
    for reply in replies {
        all.replica = [all.replica, reply.replica].join(", ");
        let mut proxies: BTreeMap<String, v1::ProxyStatus> =
            all.proxies.into_iter().map(|proxy| (proxy.workload.clone(), proxy)).collect();
        for proxy in reply.proxies {
            let is_known =
                proxies.get(&proxy.workload).is_some_and(|known| known.attached || !proxy.attached);
            if !is_known {
                proxies.insert(proxy.workload.clone(), proxy);
            }
        }
        all.proxies = proxies.into_values().collect();
        let mut told: BTreeMap<String, v1::ObjectStatus> =
            reply.objects.into_iter().map(|object| (object.object.clone(), object)).collect();
        for object in &mut all.objects {
            let Some(other) = told.remove(&object.object) else { continue };
            for condition in &mut object.conditions {
                let objects = other.conditions.iter().find(|it| it.r#type == condition.r#type && !it.status);
                if let Some(objects) = objects.filter(|_| condition.status) {
                    *condition = objects.clone();
                }
            }
        }
        all.objects.extend(told.into_values());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(replica: &str, proxies: &[(&str, bool)], programmed: bool) -> v1::StatusReply {
        let proxies = proxies.iter().map(|(workload, attached)| v1::ProxyStatus {
            workload: (*workload).to_owned(),
            attached: *attached,
            build: replica.to_owned(),
            ..v1::ProxyStatus::default()
        });
        let condition = v1::Condition {
            r#type: "Programmed".to_owned(),
            status: programmed,
            message: format!("{replica} says so"),
            ..v1::Condition::default()
        };
        let object = v1::ObjectStatus {
            object: "HTTPRoute shop/api".to_owned(),
            conditions: vec![condition],
            ..v1::ObjectStatus::default()
        };
        v1::StatusReply {
            replica: replica.to_owned(),
            proxies: proxies.collect(),
            objects: vec![object],
            ..v1::StatusReply::default()
        }
    }

    #[test]
    fn every_proxy_is_there_once_where_it_is_attached_and_an_objection_of_one_is_one_of_all() {
        let first = reply("weft-0", &[("shop/web", true), ("shop/api", false)], true);
        let second = reply("weft-1", &[("shop/web", false), ("shop/api", true), ("shop/db", true)], false);
        let all = merged(vec![first, second]);
        let proxies: Vec<_> = all.proxies.iter().map(|it| (&*it.workload, it.attached, &*it.build)).collect();
        let expected =
            [("shop/api", true, "weft-1"), ("shop/db", true, "weft-1"), ("shop/web", true, "weft-0")];
        assert_eq!(proxies, expected);
        let said = &all.objects[0].conditions[0];
        assert_eq!((all.objects.len(), said.status, &*said.message), (1, false, "weft-1 says so"));
        assert_eq!(all.replica, "weft-0, weft-1");
    }
}
