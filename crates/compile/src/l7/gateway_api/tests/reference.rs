//! The order of matches, against the API's text followed word by word.

use std::cmp::Reverse;
use std::fmt::Write;

use proptest::prelude::*;

use super::{decides, http};
use crate::l7::fixtures::{Mesh, REVIEWS};

#[derive(Debug, Clone)]
struct Match {
    path: &'static str,
    exact: bool,
    post: bool,
    /// How many of the headers `h0`, `h1`, and of the parameters `q0`, `q1`.
    headers: usize,
    query: usize,
}

#[derive(Debug, Clone)]
struct Route {
    consumer: bool,
    second: u32,
    rules: Vec<Vec<Match>>,
}

#[derive(Debug, Clone)]
struct Asked {
    path: &'static str,
    post: bool,
    headers: usize,
    query: usize,
    client: bool,
}

const PATHS: [&str; 4] = ["/", "/a", "/a/b", "/ab"];

impl Match {
    fn yaml(&self) -> String {
        let kind = if self.exact { "Exact" } else { "PathPrefix" };
        let method = if self.post { ", method: POST" } else { "" };
        let list = |name: &str, count| {
            (0..count).map(|i| format!("{{name: {name}{i}, value: v}}")).collect::<Vec<_>>().join(", ")
        };
        let (headers, query) = (list("h", self.headers), list("q", self.query));
        format!(
            "{{path: {{type: {kind}, value: {}}}{method}, headers: [{headers}], queryParams: [{query}]}}",
            self.path
        )
    }

    fn applies(&self, asked: &Asked) -> bool {
        let below = || {
            self.path == "/"
                || asked.path.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let path = if self.exact { asked.path == self.path } else { below() };
        path && (!self.post || asked.post) && self.headers <= asked.headers && self.query <= asked.query
    }

    /// More is better.
    fn rank(&self) -> (bool, usize, bool, usize, usize) {
        let length = if self.exact { 0 } else { self.path.trim_end_matches('/').len() };
        (self.exact, length, self.post, self.headers, self.query)
    }
}

impl Asked {
    fn line(&self) -> String {
        let mut line = format!("{} {}?", if self.post { "POST" } else { "GET" }, self.path);
        (0..self.query).for_each(|i| write!(line, "q{i}=v&").unwrap());
        (0..self.headers).for_each(|i| write!(line, " h{i}=v").unwrap());
        line
    }
}

/// The name of the rule that decides.
fn reference(routes: &[Route], asked: &Asked) -> String {
    let consumer = asked.client && routes.iter().any(|route| route.consumer);
    let group = || routes.iter().enumerate().filter(|(_, route)| route.consumer == consumer);
    if group().next().is_none() {
        return "no routes".to_owned();
    }
    let rules =
        group().flat_map(|(at, route)| route.rules.iter().enumerate().map(move |(rule, all)| (at, route, rule, all)));
    let matches = rules.flat_map(|(at, route, rule, all)| all.iter().map(move |of| (of, (route.second, at, rule))));
    let best = matches.filter(|(of, _)| of.applies(asked)).max_by_key(|(of, place)| (of.rank(), Reverse(*place)));
    match best {
        Some((_, (_, at, rule))) => format!("r{at}-{rule}"),
        None if consumer => "no match".to_owned(),
        None => "404".to_owned(),
    }
}

fn matches() -> impl Strategy<Value = Match> {
    let parts = (prop::sample::select(&PATHS[..]), any::<bool>(), any::<bool>(), 0..3usize, 0..3usize);
    parts.prop_map(|(path, exact, post, headers, query)| Match { path, exact, post, headers, query })
}

fn routes() -> impl Strategy<Value = Vec<Route>> {
    let rules = prop::collection::vec(prop::collection::vec(matches(), 1..3), 1..4);
    let route = (prop::bool::weighted(0.3), 0..3u32, rules);
    let route = route.prop_map(|(consumer, second, rules)| Route { consumer, second, rules });
    prop::collection::vec(route, 1..5)
}

fn asked() -> impl Strategy<Value = Asked> {
    let paths = ["/", "/a", "/a/b", "/a/b/c", "/ab", "/z"];
    let parts = (prop::sample::select(paths.to_vec()), any::<bool>(), 0..3usize, 0..3usize, any::<bool>());
    parts.prop_map(|(path, post, headers, query, client)| Asked { path, post, headers, query, client })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_match_decides_that_the_api_says(routes in routes(), asked in prop::collection::vec(asked(), 1..16)) {
        let mut mesh = Mesh::new();
        for (at, Route { consumer, second, rules }) in routes.iter().enumerate() {
            let namespace = if *consumer { "client" } else { "shop" };
            let rule = |(rule, all): (usize, &Vec<Match>)| {
                let all: Vec<_> = all.iter().map(Match::yaml).collect();
                format!("- {{name: r{at}-{rule}, matches: [{}]}}\n", all.join(", "))
            };
            let rules: String = rules.iter().enumerate().map(rule).collect();
            mesh.put(&http(&format!("{namespace}/r{at}"), *second, &rules));
        }
        let rules = mesh.rules(REVIEWS);
        for asked in &asked {
            let namespace = if asked.client { "client" } else { "other" };
            let decided = decides(&rules, &asked.line(), 9080, Some(namespace));
            prop_assert_eq!(decided, reference(&routes, asked), "{:?} of {:?}", asked, routes);
        }
    }
}
