//! What a server calls itself, where nobody says so.

use model::{NAME_LENGTH_MAX, ServerId};

use crate::Args;

/// A server's name, for people, and its id, for the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: String,
    pub(crate) id: ServerId,
}

impl Identity {
    /// The id as given, or made of the name, or of the host's name and the port, so that containers of
    /// one image differ, and servers on one host too.
    pub(crate) fn of(args: &Args, host: &str, port: u16) -> Self {
        let from_name = || args.name.as_deref().and_then(id_from);
        let from_host = || id_from(&format!("{host}-{port}"));
        let given = args.id.clone().or_else(from_name).or_else(from_host);
        let id = given.unwrap_or_else(|| {
            let id = format!("server-{port}");
            id.parse()
                .expect("it is made of letters, digits and a dash")
        });
        let name = args.name.clone().unwrap_or_else(|| id.to_string());
        Self { name, id }
    }
}

/// The text with whatever an id may not hold replaced; nothing where nothing is left of it.
fn id_from(text: &str) -> Option<ServerId> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let replaced: String = text
        .chars()
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    let trimmed = replaced.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    // It is ASCII by now. The end tells hosts and ports apart better than the beginning.
    let start = trimmed.len().saturating_sub(NAME_LENGTH_MAX);
    trimmed[start..]
        .trim_start_matches(|c: char| !c.is_ascii_alphanumeric())
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: Option<&str>, id: Option<&str>, host: &str) -> (String, String) {
        let listen = "127.0.0.1:0".parse().unwrap();
        let args = Args {
            name: name.map(str::to_owned),
            id: id.map(|id| id.parse().unwrap()),
            ..Args::new("", listen)
        };
        let identity = Identity::of(&args, host, 3001);
        (identity.name, identity.id.to_string())
    }

    #[test]
    fn what_is_not_given_follows_from_what_is() {
        let owned = |name: &str, id: &str| (name.to_owned(), id.to_owned());
        assert_eq!(identity(Some("1"), Some("s1"), "host"), owned("1", "s1"));
        assert_eq!(
            identity(Some("Server 1"), None, "host"),
            owned("Server 1", "Server-1")
        );
        assert_eq!(identity(None, Some("s1"), "host"), owned("s1", "s1"));
        assert_eq!(
            identity(None, None, "4f2a"),
            owned("4f2a-3001", "4f2a-3001")
        );
        assert_eq!(
            identity(Some("日本"), None, "4f2a"),
            owned("日本", "4f2a-3001")
        );
        assert_eq!(identity(None, None, ""), owned("3001", "3001"));
    }

    #[test]
    fn an_id_is_never_too_long() {
        let (_, id) = identity(None, None, &"h".repeat(200));
        assert!(id.len() <= NAME_LENGTH_MAX && id.ends_with("-3001"), "{id}");
    }
}
