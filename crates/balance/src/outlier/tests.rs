use std::collections::BTreeMap;

use ambit_l7::{LoadBalancing, TrafficPolicy};
use http::StatusCode;

use super::*;
use crate::fixtures::{Bench, outliers, policy, spec, specs};
use crate::{Ask, EndpointSpec};

fn detecting(outliers: OutlierDetection) -> TrafficPolicy {
    TrafficPolicy { outliers: Some(outliers), ..policy(LoadBalancing::Random) }
}

/// `500`, `-` no connection, `t` no answer, `+` connected.
fn outcomes(text: &str) -> impl Iterator<Item = Outcome> {
    text.split_whitespace().map(|word| match word {
        "-" => Outcome::ConnectFailed,
        "t" => Outcome::TimedOut,
        "+" => Outcome::Connected,
        code => Outcome::Status(code.parse().expect("a status")),
    })
}

/// Why the one endpoint is ejected after these.
fn ejection_after(settings: &OutlierDetection, text: &str) -> Option<Reason> {
    let bench = Bench::new(specs(0..2), detecting(settings.clone()));
    let pick = bench.pick_of("pod-0000");
    outcomes(text).for_each(|outcome| pick.report(outcome, bench.start));
    let events = bench.group.take_events();
    assert_eq!(pick.endpoint().unwrap().is_ejected(), !events.is_empty());
    events.first().map(|event| match event.kind {
        EventKind::Ejected(reason) => reason,
        EventKind::Overflow(_) | EventKind::Returned => panic!("{event:?}"),
    })
}

#[test]
fn errors_in_a_row_eject() {
    let any = OutlierDetection { consecutive_5xx: 3, ..outliers() };
    let gateway = OutlierDetection { consecutive_5xx: 0, consecutive_gateway: 3, ..outliers() };
    let split = OutlierDetection { split_local_errors: true, consecutive_local: 2, ..any.clone() };
    let codes = vec![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    let codes_any = OutlierDetection { error_codes: codes.clone(), ..any.clone() };
    let codes_gateway = OutlierDetection { error_codes: codes, ..gateway.clone() };
    let never = OutlierDetection { consecutive_5xx: 0, ..outliers() };
    let both = OutlierDetection { consecutive_gateway: 2, ..any.clone() };
    for (settings, text, expected) in [
        (&any, "500 501", None),
        (&any, "500 501 599", Some(Reason::Errors)),
        (&any, "500 500 200 500 500", None),
        (&any, "500 500 404 500", None),
        (&any, "500 - t", Some(Reason::Errors)),
        (&any, "- - + -", None),
        (&any, "- - -", Some(Reason::Errors)),
        (&gateway, "502 503 504", Some(Reason::GatewayErrors)),
        (&gateway, "500 500 500 500", None),
        (&gateway, "502 502 500 502", None),
        (&gateway, "502 - t", Some(Reason::GatewayErrors)),
        (&split, "- -", Some(Reason::LocalFailures)),
        (&split, "t t", Some(Reason::LocalFailures)),
        (&split, "- + -", None),
        (&split, "- 500 -", None),
        (&split, "500 - 500 + 500", Some(Reason::Errors)),
        (&codes_any, "429 503 429", Some(Reason::Errors)),
        (&codes_any, "500 500 500 500", None),
        (&codes_any, "429 429 500 429", None),
        (&codes_gateway, "503 503 503", Some(Reason::GatewayErrors)),
        (&codes_gateway, "429 429 429", None),
        (&codes_gateway, "502 502 502", None),
        (&never, "500 500 500 500 500 500 500 - - - - - - -", None),
        (&both, "503 503", Some(Reason::GatewayErrors)),
        (&both, "500 503 500", Some(Reason::Errors)),
    ] {
        assert_eq!(ejection_after(settings, text), expected, "{text} of {settings:?}");
    }
}

fn fail(bench: &Bench, key: &str, seconds: u64) {
    let pick = bench.pick_of(key);
    (0..5).for_each(|_| pick.report(Outcome::ConnectFailed, bench.at(seconds)));
}

#[test]
fn ejections_grow_longer_and_forgotten() {
    let bench = Bench::new(specs(0..2), detecting(outliers()));
    let pod = bench.endpoint("pod-0000");
    let is_ejected = |seconds| {
        bench.group.tick(bench.at(seconds));
        pod.is_ejected()
    };
    fail(&bench, "pod-0000", 5);
    // Until 35; sweeps are every ten seconds.
    assert!(is_ejected(39));
    assert!(!is_ejected(40));
    fail(&bench, "pod-0000", 41);
    assert!(is_ejected(109), "twice as long");
    assert!(!is_ejected(110));
    // Three sweeps without an ejection: as if it were the first.
    fail(&bench, "pod-0000", 141);
    assert!(is_ejected(179));
    assert!(!is_ejected(180));
    // Nobody looked for a long time.
    fail(&bench, "pod-0000", 10_001);
    assert!(!is_ejected(20_000));
    assert_eq!(pod.state.ejections.load(Relaxed), 0);
    let kinds: Vec<_> = bench.group.take_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Ejected(Reason::Errors), EventKind::Returned].repeat(4));
}

#[test]
fn a_shorter_ejection_is_over_at_the_next_sweep() {
    let bench = Bench::new(specs(0..2), detecting(OutlierDetection { base_ejection: LONGEST_EJECTION, ..outliers() }));
    fail(&bench, "pod-0000", 5);
    bench.group.tick(bench.at(100));
    bench.group.update(specs(0..2), Arc::new(detecting(outliers())), bench.at(101));
    let pod = bench.endpoint("pod-0000");
    for (seconds, ejected, ejections) in [(109, true, 1), (110, false, 1), (120, false, 0)] {
        bench.group.tick(bench.at(seconds));
        assert_eq!((pod.is_ejected(), pod.state.ejections.load(Relaxed)), (ejected, ejections), "at {seconds}");
    }
}

#[test]
fn ejections_have_a_longest() {
    for (base, ejections, expected) in [(30, 1, 30), (30, 3, 90), (30, 10, 300), (30, 99, 300), (400, 5, 400)] {
        let settings = OutlierDetection { base_ejection: Duration::from_secs(base), ..outliers() };
        assert_eq!(ejection(&settings, ejections), nanoseconds(Duration::from_secs(expected)));
    }
}

#[test]
fn not_more_are_ejected_than_may_be() {
    for (endpoints, percent, expected) in
        [(10, 10, 1), (10, 19, 1), (10, 20, 2), (10, 0, 1), (1, 10, 1), (3, 50, 1), (4, 50, 2), (10, 100, 10)]
    {
        let unready = EndpointSpec { healthy: false, ..spec("unready") };
        let specs = [specs(0..endpoints), vec![unready]].concat();
        let settings = OutlierDetection { max_ejection_percent: percent, ..outliers() };
        let bench = Bench::new(specs, detecting(settings));
        (0..endpoints).for_each(|n| fail(&bench, &format!("pod-{n:04}"), 0));
        let ejected = bench.group.endpoints().iter().filter(|endpoint| endpoint.is_ejected()).count();
        assert_eq!(ejected, expected, "{percent} % of {endpoints}");
        let overflows = bench.group.take_events().into_iter();
        let overflows = overflows.filter(|event| event.kind == EventKind::Overflow(Reason::Errors)).count();
        assert_eq!(overflows, usize::try_from(endpoints).unwrap() - expected);
    }
}

#[test]
fn without_detection_nobody_is_ejected() {
    let bench = Bench::new(specs(0..3), detecting(outliers()));
    fail(&bench, "pod-0001", 0);
    bench.group.update(specs(0..3), Arc::new(policy(LoadBalancing::Random)), bench.at(1));
    fail(&bench, "pod-0002", 2);
    assert!(bench.group.endpoints().iter().all(|endpoint| !endpoint.is_ejected()));
    let kinds: Vec<_> = bench.group.take_events().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Ejected(Reason::Errors), EventKind::Returned]);
}

#[test]
fn one_that_has_left_is_not_ejected() {
    let bench = Bench::new(specs(0..3), detecting(outliers()));
    let pick = bench.pick_of("pod-0001");
    bench.group.update(specs(2..3), bench.group.policy(), bench.at(1));
    (0..5).for_each(|_| pick.report(Outcome::TimedOut, bench.at(2)));
    assert!(bench.group.take_events().is_empty());
}

#[test]
fn events_nobody_takes_are_few() {
    let settings = OutlierDetection { max_ejection_percent: 0, ..outliers() };
    let bench = Bench::new(specs(0..3), detecting(settings));
    (0..2 * MOST_EVENTS).for_each(|_| ["pod-0000", "pod-0001"].iter().for_each(|key| fail(&bench, key, 0)));
    assert_eq!(bench.group.take_events().len(), MOST_EVENTS);
    assert!(bench.group.take_events().is_empty());
}

/// What the rules say, told second by second.
mod slow {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Pass(u64),
        Report(usize, Outcome),
    }

    #[derive(Debug, Default, Clone)]
    struct Slow {
        any: u32,
        gateway: u32,
        local: u32,
        ejected_at: Option<u64>,
        ejections: u64,
    }

    fn second(all: &mut [Slow], settings: &OutlierDetection, now: u64) {
        if !now.is_multiple_of(settings.interval.as_secs()) {
            return;
        }
        for one in all {
            let longest = settings.base_ejection.as_secs().max(300);
            match one.ejected_at {
                Some(at) if now >= at + (settings.base_ejection.as_secs() * one.ejections).min(longest) => {
                    *one = Slow { ejections: one.ejections, ..Slow::default() };
                }
                Some(_) => {}
                None => one.ejections = one.ejections.saturating_sub(1),
            }
        }
    }

    fn report(all: &mut [Slow], settings: &OutlierDetection, n: usize, outcome: Outcome, now: u64) {
        let verdicts = outcome.judge(settings);
        for (row, verdict, most) in [
            (0, verdicts.any, settings.consecutive_5xx),
            (1, verdicts.gateway, settings.consecutive_gateway),
            (2, verdicts.local, settings.consecutive_local),
        ] {
            let ejected = all.iter().filter(|one| one.ejected_at.is_some()).count();
            let may = ejected == 0 || (ejected + 1) * 100 <= usize::from(settings.max_ejection_percent) * all.len();
            let one = &mut all[n];
            let row = [&mut one.any, &mut one.gateway, &mut one.local].into_iter().nth(row).unwrap();
            *row = match verdict {
                Verdict::Error => *row + 1,
                Verdict::Success => 0,
                Verdict::Nothing => *row,
            };
            if verdict == Verdict::Error && most > 0 && *row >= most {
                *row = 0;
                if one.ejected_at.is_none() && may {
                    one.ejected_at = Some(now);
                    one.ejections += 1;
                }
            }
        }
    }

    fn settings() -> impl Strategy<Value = OutlierDetection> {
        let counts = (any::<bool>(), 0..3_u32, 0..3_u32, 0..4_u32);
        let times = (1..12_u64, 1..40_u64);
        (counts, times, prop::sample::select(vec![0_u8, 30, 50, 100]), prop::sample::select(vec![0_u8, 40, 80]))
            .prop_map(|((split, local, gateway, any), (interval, base), max_ejection_percent, min_health_percent)| {
                OutlierDetection {
                    split_local_errors: split,
                    consecutive_local: local,
                    consecutive_gateway: gateway,
                    consecutive_5xx: any,
                    error_codes: Vec::new(),
                    interval: Duration::from_secs(interval),
                    base_ejection: Duration::from_secs(base),
                    max_ejection_percent,
                    min_health_percent,
                }
            })
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let outcome = prop::sample::select(vec!["500", "503", "200", "-", "t", "+", "-", "503"]);
        let report = (0..5_usize, outcome).prop_map(|(n, text)| Step::Report(n, outcomes(text).next().unwrap()));
        let step = prop_oneof![1 => prop_oneof![(0..5_u64), (0..400_u64)].prop_map(Step::Pass), 6 => report];
        prop::collection::vec(step, 0..120)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn ejections_are_as_the_rules_say(settings in settings(), steps in steps()) {
            let mut bench = Bench::new(specs(0..5), detecting(settings.clone()));
            let picks: Vec<_> = (0..5).map(|n| bench.pick_of(&format!("pod-{n:04}"))).collect();
            let mut all = vec![Slow::default(); 5];
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Pass(seconds) => for _ in 0..seconds {
                        now += 1;
                        second(&mut all, &settings, now);
                    },
                    Step::Report(n, outcome) => {
                        report(&mut all, &settings, n, outcome, now);
                        picks[n].report(outcome, bench.at(now));
                    }
                }
                let counts = picked(&mut bench, now);
                let ejected: Vec<_> = bench.group.endpoints().iter().map(|endpoint| endpoint.is_ejected()).collect();
                let expected: Vec<_> = all.iter().map(|one| one.ejected_at.is_some()).collect();
                prop_assert_eq!(&ejected, &expected);
                let healthy = ejected.iter().filter(|ejected| !**ejected).count();
                let panic = healthy * 100 < usize::from(settings.min_health_percent) * 5;
                prop_assert_eq!(counts.is_empty(), healthy == 0 && !panic);
                for (n, ejected) in ejected.iter().enumerate() {
                    let chosen = counts.contains_key(&format!("pod-{n:04}"));
                    prop_assert!(!chosen || !ejected || panic);
                }
            }
        }
    }

    /// Who is chosen now.
    fn picked(bench: &mut Bench, now: u64) -> BTreeMap<String, u32> {
        let at = bench.at(now);
        let picks = (0..8).filter_map(|_| bench.group.pick(&Ask::default(), &mut bench.rng, at).ok());
        picks.map(|pick| (crate::fixtures::key_of(&pick), 1)).collect()
    }
}
