//! Route patterns: `[STAGE ]METHOD PATH`.

/// A pattern, taken apart.
#[derive(Clone, Debug)]
pub struct Pattern {
    stage: Option<String>,
    method: String,
    path: String,
}

impl Pattern {
    /// Takes a pattern's text apart.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(' ').collect();
        let (stage, method, path) = match parts[..] {
            [method, path] => (None, method, path),
            [stage, method, path] => (Some(stage.to_owned()), method, path),
            _ => return Err(format!("route pattern {text:?} is not [STAGE ]METHOD PATH")),
        };
        let good =
            stage.as_deref() != Some("") && !method.is_empty() && (path == "*" || path.starts_with('/'));
        if !good {
            return Err(format!("route pattern {text:?} is not [STAGE ]METHOD PATH"));
        }
        Ok(Pattern { stage, method: method.to_owned(), path: path.to_owned() })
    }

    /// How well the pattern fits a request, none if it does not. "One pattern wins: exact path,
    /// then longest prefix, then `*`; then method over `*`; then with stage over without."
    pub fn fit(&self, stage: Option<&str>, method: &str, path: &str) -> Option<(usize, bool, bool)> {
        if self.stage.is_some() && self.stage.as_deref() != stage {
            return None;
        }
        if self.method != "*" && self.method != method {
            return None;
        }
        let by_path = if self.path == "*" {
            0
        } else if let Some(prefix) = self.path.strip_suffix('*').filter(|p| p.ends_with('/')) {
            // "matches `/prefix/` and below, not `/prefix`"
            path.starts_with(prefix).then_some(prefix.len())?
        } else {
            (self.path == path).then_some(usize::MAX)?
        };
        Some((by_path, self.method != "*", self.stage.is_some()))
    }
}

/// A request's route, `METHOD /path`: "a query string is dropped".
pub fn request(route: &str) -> Result<(&str, &str), String> {
    let (method, target) =
        route.split_once(' ').ok_or_else(|| format!("route {route:?} is not METHOD /path"))?;
    Ok((method, target.split('?').next().unwrap_or(target)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner<'a>(patterns: &[&'a str], stage: Option<&str>, route: &str) -> Option<&'a str> {
        let (method, path) = request(route).unwrap();
        patterns
            .iter()
            .filter_map(|text| Some((Pattern::parse(text).unwrap().fit(stage, method, path)?, *text)))
            .max()
            .map(|(_, text)| text)
    }

    #[test]
    fn precedence() {
        let all = ["GET /pets", "* /pets", "GET /pets/*", "* /*", "GET *", "* *", "a/b GET /pets", "a/b * *"];
        assert_eq!(winner(&all, None, "GET /pets?x=1"), Some("GET /pets"));
        assert_eq!(winner(&all, Some("a/b"), "GET /pets"), Some("a/b GET /pets"));
        assert_eq!(winner(&all, Some("a/b"), "PUT /pets"), Some("* /pets"));
        assert_eq!(winner(&all, None, "GET /pets/"), Some("GET /pets/*"));
        assert_eq!(winner(&all, None, "GET /pets/7"), Some("GET /pets/*"));
        assert_eq!(winner(&all, None, "PUT /pets/7"), Some("* /*"));
        assert_eq!(winner(&["GET /pets/*", "GET *"], None, "GET /pets"), Some("GET *"));
        assert_eq!(winner(&["a/b GET *", "* *"], Some("a/b"), "PUT /x"), Some("* *"));
        assert_eq!(winner(&["a/b * *", "GET *"], Some("a/b"), "GET /x"), Some("GET *"));
        assert_eq!(winner(&["GET /pets"], None, "get /pets"), None);
    }

    #[test]
    fn malformed() {
        for bad in ["GET", "", "GET pets", "a b c d", " GET /x", "GET  /x"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }
}
