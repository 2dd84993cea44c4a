//! Route patterns: which one of a plan's patterns a request falls under.
//!
//! Exact path before longest prefix before `*`; then a named method before `*`; then a pattern with
//! a stage before one without.

use std::collections::HashMap;

/// Limits of a request's winning pattern are at this index of the plan's routes.
pub(crate) type RouteIndex = usize;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Path<'a> {
    Exact(&'a str),
    /// Up to and with the last slash.
    Prefix(&'a str),
    Any,
}

/// A parsed `[STAGE ]METHOD PATH`.
#[derive(Debug)]
pub(crate) struct Pattern<'a> {
    pub(crate) stage: Option<&'a str>,
    method: Option<&'a str>,
    path: Path<'a>,
}

impl<'a> Pattern<'a> {
    /// # Errors
    /// What is wrong with the pattern.
    pub(crate) fn parse(text: &'a str) -> Result<Pattern<'a>, &'static str> {
        let parts: Vec<&str> = text.split(' ').collect();
        let (stage, method, path) = match parts[..] {
            [method, path] => (None, method, path),
            [stage, method, path] => (Some(stage), method, path),
            _ => return Err("write \"METHOD PATH\" or \"STAGE METHOD PATH\", parted by single spaces"),
        };
        if method.is_empty() || stage.is_some_and(str::is_empty) {
            return Err("write \"METHOD PATH\" or \"STAGE METHOD PATH\", parted by single spaces");
        }
        if method.contains('/') {
            return Err("the word before the path is a method, such as GET, or *");
        }
        let path = match (path, path.strip_suffix('*')) {
            ("*", _) => Path::Any,
            (_, Some(prefix)) if prefix.ends_with('/') => Path::Prefix(prefix),
            _ => Path::Exact(path),
        };
        match path {
            Path::Exact(p) | Path::Prefix(p) if !p.starts_with('/') => Err("a path begins with '/', or is *"),
            Path::Exact(p) | Path::Prefix(p) if p.contains('*') => {
                Err("'*' stands for the last segment only, as in /pets/*")
            }
            Path::Exact(p) | Path::Prefix(p) if p.contains('?') => Err("a path has no query string"),
            path => Ok(Pattern { stage, method: (method != "*").then_some(method), path }),
        }
    }
}

#[derive(Clone, Debug)]
struct Candidate {
    stage: Option<Box<str>>,
    method: Option<Box<str>>,
    route: RouteIndex,
}

/// The patterns of one plan, ready for look-up.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTable {
    exact: HashMap<Box<str>, Vec<Candidate>, ahash::RandomState>,
    /// Longest first.
    prefixes: Vec<(Box<str>, Vec<Candidate>)>,
    any: Vec<Candidate>,
}

impl RouteTable {
    /// Adds a pattern for the limits at `route`.
    pub(crate) fn add(&mut self, pattern: &Pattern<'_>, route: RouteIndex) {
        let candidates = match pattern.path {
            Path::Exact(path) => self.exact.entry(path.into()).or_default(),
            Path::Any => &mut self.any,
            Path::Prefix(prefix) => {
                let at = match self.prefixes.iter().position(|(other, _)| **other == *prefix) {
                    Some(at) => at,
                    None => {
                        let at = self.prefixes.partition_point(|(other, _)| other.len() >= prefix.len());
                        self.prefixes.insert(at, (prefix.into(), Vec::new()));
                        at
                    }
                };
                &mut self.prefixes[at].1
            }
        };
        candidates.push(Candidate {
            stage: pattern.stage.map(Into::into),
            method: pattern.method.map(Into::into),
            route,
        });
        candidates.sort_by_key(|candidate| (candidate.method.is_none(), candidate.stage.is_none()));
    }

    /// The pattern that wins for `METHOD /path[?query]` within `stage`.
    pub(crate) fn find(&self, route: &str, stage: Option<&str>) -> Option<RouteIndex> {
        let (method, target) = route.split_once(' ').unwrap_or(("", route));
        let path = target.split('?').next().unwrap_or(target);
        let fits = |candidates: &[Candidate]| {
            candidates
                .iter()
                .find(|candidate| {
                    candidate.method.as_deref().is_none_or(|other| other == method)
                        && candidate.stage.as_deref().is_none_or(|other| Some(other) == stage)
                })
                .map(|candidate| candidate.route)
        };
        let exact = self.exact.get(path).and_then(|candidates| fits(candidates));
        let prefix = || {
            self.prefixes
                .iter()
                .filter(|(prefix, _)| path.starts_with(&**prefix))
                .find_map(|(_, candidates)| fits(candidates))
        };
        exact.or_else(prefix).or_else(|| fits(&self.any))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&str]) -> RouteTable {
        let mut table = RouteTable::default();
        for (route, pattern) in patterns.iter().enumerate() {
            table.add(&Pattern::parse(pattern).unwrap(), route);
        }
        table
    }

    #[test]
    fn one_pattern_wins() {
        let patterns = [
            "* *",
            "GET *",
            "* /a/*",
            "GET /a/b/*",
            "* /a/b",
            "GET /a/b",
            "s/1 GET /a/b",
            "s/1 * /a/b",
            "s/1 * *",
            "POST /only",
        ];
        for turn in 0..patterns.len() {
            let mut turned = patterns;
            turned.rotate_left(turn);
            let table = table(&turned);
            let wins = |route: &str, stage: Option<&str>, pattern: &str| {
                let found = table.find(route, stage).map(|index| turned[index]);
                assert_eq!(found, Some(pattern), "{route} {stage:?}");
            };
            wins("GET /a/b", None, "GET /a/b");
            wins("GET /a/b?x=/a/b/c", None, "GET /a/b");
            wins("GET /a/b", Some("s/1"), "s/1 GET /a/b");
            wins("GET /a/b", Some("s/2"), "GET /a/b");
            wins("POST /a/b", Some("s/1"), "s/1 * /a/b");
            wins("POST /a/b", None, "* /a/b");
            wins("GET /a/b/", None, "GET /a/b/*");
            wins("GET /a/b/c", Some("s/1"), "GET /a/b/*");
            wins("POST /a/b/c", None, "* /a/*");
            wins("GET /a", None, "GET *");
            wins("GET /only", None, "GET *");
            wins("POST /x", None, "* *");
            wins("POST /x", Some("s/1"), "s/1 * *");
            wins("GET /x", Some("s/1"), "GET *");
            wins("OPTIONS *", None, "* *");
            wins("get /a/b", None, "* /a/b");
        }
    }

    #[test]
    fn a_prefix_matches_itself_with_the_slash_and_below() {
        let table = table(&["GET /pets/*"]);
        assert_eq!(table.find("GET /pets/", None), Some(0));
        assert_eq!(table.find("GET /pets/1/2", None), Some(0));
        assert_eq!(table.find("GET /pets", None), None);
        assert_eq!(table.find("GET /petsy/", None), None);
        assert_eq!(table.find("nonsense", None), None);
    }

    #[test]
    fn broken_patterns_are_refused() {
        for bad in [
            "",
            "GET",
            "/pets",
            "GET pets",
            "GET  /pets",
            "a b c d",
            " GET /",
            "GET /a*",
            "GET /*/b",
            "GET /a?b",
            "pets/prod /x",
            "GET /a/**",
        ] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }
}
