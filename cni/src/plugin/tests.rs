//! What becomes of a call, with an agent that says yes, no, or nothing.

use std::cell::RefCell;

use serde_json::json;

use super::*;

/// How the agent is.
#[derive(Clone, Copy, PartialEq)]
enum Agent {
    There,
    Unwilling,
    Away,
}

/// The answer, and what the agent was asked.
fn call(command: &str, config: &Value, agent: Agent) -> (Result<Option<Value>, Failure>, Vec<Question>) {
    let environment = [
        ("CNI_COMMAND", command),
        ("CNI_NETNS", "/var/run/netns/cni-1"),
        ("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-1"),
    ];
    let get = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let asked = RefCell::new(Vec::new());
    let ask = |_: &Path, question: &Question| {
        asked.borrow_mut().push(question.clone());
        match agent {
            Agent::There => Ok(()),
            Agent::Unwilling => Err(Unanswered::Refused { why: "no nft".to_owned() }),
            Agent::Away => Err(Unanswered::Lost { source: std::io::ErrorKind::NotFound.into() }),
        }
    };
    let answered = Call::read(get, config.to_string().as_bytes()).and_then(|call| answer(&call, ask));
    (answered, asked.into_inner())
}

fn made() -> Value {
    json!({"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.7/24"}], "odd": [1]})
}

fn config(annotations: Option<Value>) -> Value {
    let mut config = json!({"cniVersion": "1.0.0", "name": "pods", "type": "weft-cni", "prevResult": made()});
    if let Some(annotations) = annotations {
        config["runtimeConfig"] = json!({"io.kubernetes.cri.pod-annotations": annotations});
    }
    config
}

fn injected() -> Value {
    config(Some(json!({"weft.mesh/redirect": "--proxy-uid=2102"})))
}

#[test]
fn a_pod_that_is_to_have_rules_gets_them_or_does_not_start() {
    let (answered, asked) = call("ADD", &injected(), Agent::There);
    assert_eq!(answered.unwrap(), Some(made()), "passed on as it was");
    let question = Question {
        wish: Wish::Make("--proxy-uid=2102".to_owned()),
        netns: "/var/run/netns/cni-1".to_owned(),
        pod: "shop/web-1".to_owned(),
    };
    assert_eq!(asked, [question]);
    for agent in [Agent::Unwilling, Agent::Away] {
        let (answered, _) = call("ADD", &injected(), agent);
        assert_eq!(answered.unwrap_err().code(), Code::TryAgain);
    }
}

#[test]
fn a_pod_that_is_to_have_none_starts_whether_or_not_the_agent_is_there() {
    for config in [config(None), config(Some(json!({}))), config(Some(json!({"other": "x"})))] {
        for agent in [Agent::There, Agent::Unwilling, Agent::Away] {
            let (answered, asked) = call("ADD", &config, agent);
            assert_eq!((answered.unwrap(), asked.len()), (Some(made()), 0));
            assert_eq!(call("CHECK", &config, agent).0.unwrap(), None);
        }
    }
}

#[test]
fn what_is_deleted_is_never_held_up_and_may_be_deleted_again() {
    for agent in [Agent::There, Agent::Unwilling, Agent::Away] {
        for config in [injected(), config(None), json!({"cniVersion": "0.4.0"})] {
            let (answered, asked) = call("DEL", &config, agent);
            assert_eq!((answered.unwrap(), asked.len()), (None, 0));
        }
    }
}

#[test]
fn a_pod_whose_rules_are_gone_fails_its_check() {
    assert_eq!(call("CHECK", &injected(), Agent::There).0.unwrap(), None);
    let (answered, asked) = call("CHECK", &injected(), Agent::Unwilling);
    assert_eq!(answered.unwrap_err().code(), Code::Changed);
    assert_eq!(asked[0].wish, Wish::Look);
}

#[test]
fn status_says_whether_the_agent_is_there() {
    let config = json!({"cniVersion": "1.1.0", "name": "pods", "type": "weft-cni"});
    assert_eq!(call("STATUS", &config, Agent::There).0.unwrap(), None);
    assert_eq!(call("STATUS", &config, Agent::Away).0.unwrap_err().code(), Code::Unavailable);
}

#[test]
fn a_call_that_cannot_be_is_refused_with_the_number_of_the_specification() {
    let mut alone = injected();
    alone.as_object_mut().unwrap().remove("prevResult");
    let old = json!({"cniVersion": "0.1.0", "prevResult": {}});
    for (command, config, code) in [
        ("ADD", alone, Code::Config),
        ("ADD", old, Code::Version),
        ("ADD", json!([]), Code::Decode),
        ("DANCE", json!({}), Code::Environment),
        ("", json!({}), Code::Environment),
    ] {
        let failure = call(command, &config, Agent::There).0.unwrap_err();
        assert_eq!(failure.code(), code, "{failure}");
        let answer = failure.answer("1.0.0");
        assert!(
            answer["code"].as_u64().is_some() && answer["msg"].as_str().is_some_and(|msg| !msg.is_empty())
        );
    }
}

#[test]
fn versions_are_told_to_who_asks_with_nothing_in_his_hands() {
    let get = |name: &str| (name == "CNI_COMMAND").then(|| "VERSION".to_owned());
    let call = Call::read(get, &b""[..]).unwrap();
    let told = answer(&call, |_, _| Ok(())).unwrap().unwrap();
    assert!(told["supportedVersions"].as_array().unwrap().contains(&json!("1.0.0")), "{told}");
}
