//! Query parameters: known ones only, each once.

use std::collections::BTreeMap;

use axum::extract::Query;
use axum::http::Uri;

use crate::problem::Problem;

/// The parameters of one request, by name.
#[derive(Debug)]
pub(crate) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// Reads those that are `known`; any other is refused by name.
    pub(crate) fn parse(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let pairs: Query<Vec<(String, String)>> = Query::try_from_uri(uri)
            .map_err(|_| Problem::field("query", "must be parameters such as wait=applied"))?;
        let mut parameters = BTreeMap::new();
        for (name, value) in pairs.0 {
            if !known.contains(&name.as_str()) {
                return Err(Problem::field(name, "is not a known query parameter"));
            }
            if parameters.insert(name.clone(), value).is_some() {
                return Err(Problem::field(name, "is given more than once"));
            }
        }
        Ok(Self(parameters))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether something is asked for; it is not where it is not named.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Problem::field(name, "must be true or false")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_or_repeated_parameter_is_refused_by_name() {
        let parse = |query: &str| {
            let uri = format!("/v1/pools?{query}").parse().expect("a URI");
            Parameters::parse(&uri, &["wait", "timeout"])
        };
        let parameters = parse("wait=applied&timeout=5%73").expect("known");
        assert_eq!(parameters.get("timeout"), Some("5s"));
        assert_eq!(
            parse("wiat=applied").expect_err("unknown"),
            Problem::field("wiat", "is not a known query parameter")
        );
        assert_eq!(
            parse("wait=applied&wait=drained").expect_err("twice"),
            Problem::field("wait", "is given more than once")
        );
    }
}
