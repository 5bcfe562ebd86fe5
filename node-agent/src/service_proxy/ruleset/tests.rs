use std::net::Ipv4Addr;

use super::*;
use crate::service_proxy::claims::{Reserved, settle};

fn frontend(last: u8, port: u16) -> Frontend {
    Frontend { address: Ipv4Addr::new(10, 96, 0, last), protocol: Protocol::TCP, port }
}

fn backends(endpoints: &[u8]) -> Backends {
    let endpoints = endpoints.iter().map(|last| (Ipv4Addr::new(10, 244, 1, *last), 8080)).collect();
    Backends { endpoints, ..Backends::default() }
}

fn proxied(frontends: Vec<(Frontend, Backends)>) -> Proxied {
    Proxied { frontends: frontends.into_iter().collect(), ..Proxied::default() }
}

fn ruleset(services: &[Proxied]) -> Ruleset {
    Ruleset::of(services.iter(), &settle(services.iter(), &Reserved::new()))
}

/// `set key -> value`, one a line; a key by the last byte of each address in it, its ports and its number.
fn shown(ruleset: &Ruleset) -> Vec<String> {
    let mut lines = Vec::new();
    for (set, elements) in &ruleset.elements {
        for (key, value) in elements {
            let value = match value {
                Value::None => String::new(),
                Value::Goto(chain) => format!(" -> {chain}"),
                Value::Bytes(bytes) => format!(" -> {}", readable(bytes)),
            };
            lines.push(format!("{set} {}{value}", readable(key)));
        }
    }
    lines
}

fn readable(bytes: &[u8]) -> String {
    let words = bytes.chunks(4).map(|word| match word {
        [10, _, _, last] => format!(".{last}"),
        [protocol, 0, 0, 0] => protocol.to_string(),
        [high, low, ..] => format!(":{}", u16::from_be_bytes([*high, *low])),
        _ => String::new(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_frontend_leads_to_the_chain_of_its_size() {
    let sticky = Backends { sticky_seconds: Some(60), masquerade: true, ..backends(&[2]) };
    for (given, expected) in [
        (vec![(frontend(7, 80), backends(&[]))], vec!["services .7 6 :80 -> refuse"]),
        (
            vec![(frontend(7, 80), backends(&[2, 3])), (frontend(8, 443), backends(&[2]))],
            vec![
                "endpoints-1 .8 6 :443 0 -> .2 :8080",
                "endpoints-2 .7 6 :80 0 -> .2 :8080",
                "endpoints-2 .7 6 :80 1 -> .3 :8080",
                "services .7 6 :80 -> endpoints-2",
                "services .8 6 :443 -> endpoints-1",
            ],
        ),
        (
            vec![(frontend(7, 80), sticky)],
            vec![
                "endpoints-1 .7 6 :80 0 -> .2 :8080",
                "masquerade .7 6 :80",
                "members .7 6 :80 .2 :8080",
                "services .7 6 :80 -> sticky-1-60",
            ],
        ),
    ] {
        assert_eq!(shown(&ruleset(&[proxied(given)])), expected);
    }
}

#[test]
fn what_does_not_change_takes_no_transaction() {
    let two = ruleset(&[proxied(vec![(frontend(7, 80), backends(&[2, 3]))])]);
    assert!(two.after(&two, "t").is_none());
    let one = ruleset(&[proxied(vec![(frontend(7, 80), backends(&[2]))])]);
    assert!(one.after(&two, "t").is_some());
}
