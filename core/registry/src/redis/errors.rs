//! What Redis and its connection say when something fails, as one of the kinds that an operator can act on.

use redis::{ErrorKind, RedisError};

use super::advice::with_advice;
use crate::RegistryError;

/// Which registry it was, and what must not be repeated of how it was reached.
#[derive(Clone)]
pub(super) struct Endpoint {
    address: String,
    passwords: Vec<String>,
    /// The keys that are asked for, where a script does not say which.
    keys: String,
}

/// Without the passwords.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)
    }
}

impl Endpoint {
    pub(super) fn new(address: String, mut passwords: Vec<String>, keys: String) -> Self {
        passwords.retain(|password| !password.is_empty());
        // A password that holds another one goes first, or its rest would stay.
        passwords.sort_by_key(|password| std::cmp::Reverse(password.len()));
        Self {
            address,
            passwords,
            keys,
        }
    }

    /// The same at another address.
    pub(super) fn at(&self, address: String) -> Self {
        Self {
            address,
            ..self.clone()
        }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Says what an error means to an operator.
    pub(super) fn explain(&self, operation: &'static str, error: &RedisError) -> RegistryError {
        self.explain_about(operation, error, |_| None)
    }

    /// The same of a connection that was not made: who reads it has to know where.
    pub(super) fn explain_connecting(&self, error: &RedisError) -> RegistryError {
        match self.explain("connecting", error) {
            RegistryError::Unexpected { reason, .. } => self.unreachable(reason),
            known => known,
        }
    }

    /// Says what an error means, with the key that the failed command of a transaction was about.
    pub(super) fn explain_about(
        &self,
        operation: &'static str,
        error: &RedisError,
        key: impl FnOnce(usize) -> Option<String>,
    ) -> RegistryError {
        let Answer {
            index,
            code,
            detail,
        } = Answer::of(error);
        let reason = with_advice(self.without_password(&detail));
        let endpoint = self.address.clone();
        let code = code_within(&code, &reason);
        match code {
            "NOAUTH" if self.passwords.is_empty() => RegistryError::WrongPassword {
                endpoint,
                reason: "NOAUTH it asks for a password, and none was given".into(),
            },
            "WRONGPASS" | "NOAUTH" => RegistryError::WrongPassword { endpoint, reason },
            "NOPERM" => {
                let about = key(index).unwrap_or_else(|| self.keys.clone());
                RegistryError::MissingRight {
                    reason: format!("{operation}: {reason} (on {about})"),
                }
            }
            WRONG_TYPE => RegistryError::Unexpected {
                operation,
                reason: key(index).map_or(reason, |key| of_another_type(&key)),
            },
            "LOADING" | "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "CLUSTERDOWN" | "TRYAGAIN"
            | "BUSY" | "MOVED" | "ASK" | FULL => {
                // It answered that it will not, before it did anything.
                RegistryError::Unreachable {
                    endpoint,
                    reason,
                    nothing_done: true,
                }
            }
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                RegistryError::WrongPassword { endpoint, reason }
            }
            _ if knows_no_hello(error, &detail) => RegistryError::Unreachable {
                endpoint,
                reason: "it is older than Redis 6.2: upgrade it".into(),
                nothing_done: true,
            },
            _ if error.kind() == ErrorKind::Io => RegistryError::Unreachable {
                endpoint,
                reason,
                nothing_done: false,
            },
            _ => RegistryError::Unexpected { operation, reason },
        }
    }

    pub(super) fn unreachable(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Unreachable {
            endpoint: self.address.clone(),
            reason: reason.into(),
            nothing_done: false,
        }
    }

    /// An error in the server's or the connection's own words.
    pub(super) fn words(&self, error: &RedisError) -> String {
        with_advice(self.without_password(&Answer::of(error).detail))
    }

    /// The same of a Sentinel, which has users and passwords of its own.
    pub(super) fn sentinels_words(&self, error: &RedisError) -> String {
        let words = self.words(error);
        let code = Answer::of(error).code;
        let is_refused = matches!(code.as_str(), "NOAUTH" | "WRONGPASS" | "NOPERM")
            || error.kind() == ErrorKind::AuthenticationFailed;
        if !is_refused {
            return words;
        }
        format!(
            "{words}: give the Sentinels' own user and password by ?sentinel_user= and ?sentinel_password="
        )
    }

    /// One line: a server may repeat what it was sent, passwords included.
    fn without_password(&self, text: &str) -> String {
        let hide = |text: String, password: &String| text.replace(password, "***");
        // Before the lines are joined, which may change the password too.
        let hidden = self.passwords.iter().fold(text.to_owned(), hide);
        hidden.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// What it says to whom it has no place for, under the code of everything.
const FULL: &str = "max number of clients reached";

/// The code of an error. Scripts have none of their own for what their user may not do, which has other words since Redis 7.2,
/// nor had they one for what their commands answered before 7.0.
fn code_within<'a>(code: &'a str, reason: &str) -> &'a str {
    let denied = ["ACL failure in script", "user executing the script"];
    if denied.iter().any(|said| reason.contains(said)) {
        return "NOPERM";
    }
    // Redis 6.2 puts the place in the script where others put the code, if the script passes a command's error on.
    if code != "ERR" && code != "@user_script:" {
        return code;
    }
    let known = [
        ("-READONLY ", "READONLY"),
        ("-OOM ", "OOM"),
        ("-NOREPLICAS ", "NOREPLICAS"),
        ("attempted to access a non local key", "MOVED"),
        (FULL, FULL),
    ];
    let found = known.iter().find(|(said, _)| reason.contains(said));
    found.map_or(code, |(_, code)| code)
}

/// Whether what answers is from before Redis 6, which brought the first word of every connection. The library has words of its own
/// for most of the ways in which such a one says so.
fn knows_no_hello(error: &RedisError, detail: &str) -> bool {
    let said = ["unknown command 'HELLO'", "unknown command `HELLO`"];
    error.kind() == ErrorKind::RESP3NotSupported || said.iter().any(|it| detail.contains(it))
}

/// Whether the answer says that another Redis, or none yet, is the one to ask.
pub(super) fn is_elsewhere(error: &RedisError) -> bool {
    let Answer { code, detail, .. } = Answer::of(error);
    matches!(
        code_within(&code, &detail),
        "READONLY" | "MASTERDOWN" | "NOREPLICAS" | "MOVED" | "ASK" | "CLUSTERDOWN"
    )
}

/// The most characters of what other hands wrote that are repeated in one place.
const REPEATED_MAX: usize = 200;

/// What other hands wrote may be of any length, and it goes into logs and reports.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(REPEATED_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The code of a command on a key that holds something else.
const WRONG_TYPE: &str = "WRONGTYPE";

/// Says that a key is of another type, and what helps.
pub(super) fn of_another_type(key: &str) -> String {
    format!("{key} is of another type: other hands wrote it; rename or delete that key")
}

/// Whether a command failed for its key's type.
pub(super) fn is_wrong_type(error: &RedisError) -> bool {
    Answer::of(error).code == WRONG_TYPE
}

/// What the server answered, if it was the server, or what the connection said. Of a failed transaction the
/// first command's error counts.
struct Answer {
    index: usize,
    code: String,
    detail: String,
}

impl Answer {
    fn of(error: &RedisError) -> Self {
        let errors = error.clone().into_server_errors();
        let Some((index, first)) = errors.as_deref().and_then(<[_]>::first) else {
            return Self {
                index: 0,
                code: error.code().unwrap_or_default().into(),
                detail: error.to_string(),
            };
        };
        let code = first.code();
        let detail = first.details().unwrap_or_default();
        Self {
            index: *index,
            code: code.into(),
            detail: format!("{code} {detail}").trim_end().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{ServerErrorKind, make_extension_error};

    use super::*;

    fn endpoint() -> Endpoint {
        let keys = "roundhouse:{main}:*".into();
        Endpoint::new("redis.example:6379".into(), vec!["hunter2".into()], keys)
    }

    #[test]
    fn what_is_wrong_with_a_connection_is_said_of_its_address() {
        let said = "DB index is out of range";
        let error = make_extension_error("ERR".into(), Some(said.into()));
        let told = endpoint().explain_connecting(&error).to_string();
        let expected =
            "the registry at redis.example:6379 cannot be reached: ERR DB index is out of range: ";
        assert!(told.starts_with(expected), "{told}");
    }

    fn explain(code: &str, detail: &str) -> RegistryError {
        let error = make_extension_error(code.into(), Some(detail.into()));
        endpoint().explain("commit", &error)
    }

    #[test]
    fn each_code_becomes_the_kind_that_an_operator_can_act_on() {
        let wrong = explain("WRONGPASS", "invalid username-password pair");
        assert!(matches!(wrong, RegistryError::WrongPassword { .. }));
        let anonymous = explain(
            "NOAUTH",
            "HELLO must be called with the client authenticated",
        );
        assert!(matches!(anonymous, RegistryError::WrongPassword { .. }));
        let loading = explain("MASTERDOWN", "Link with MASTER is down");
        assert!(matches!(loading, RegistryError::Unreachable { .. }));
        let full = explain("OOM", "command not allowed when used memory > 'maxmemory'");
        assert!(matches!(full, RegistryError::Unexpected { .. }));
    }

    #[test]
    fn a_password_that_was_not_given_is_asked_for_in_one_line() {
        let said = "HELLO must be called with the client already authenticated,\r\notherwise";
        let error = make_extension_error("NOAUTH".into(), Some(said.into()));
        let nobody = Endpoint::new("redis.example:6379".into(), vec![], String::new());
        assert_eq!(
            nobody.explain("connecting", &error).to_string(),
            "the registry at redis.example:6379 refused the user or password: NOAUTH it asks for a password, \
             and none was given"
        );
        let somebody = endpoint().explain("connecting", &error).to_string();
        assert!(!somebody.contains(['\r', '\n']), "{somebody}");
    }

    #[test]
    fn what_knows_no_hello_is_named_as_too_old() {
        let words = [
            "unknown command 'HELLO'",
            "unknown command `HELLO`, with args",
        ];
        let said = words.map(|words| explain("ERR", words));
        let library = RedisError::from((ErrorKind::RESP3NotSupported, "no HELLO"));
        let library = endpoint().explain("connecting", &library);
        for error in said.into_iter().chain([library]) {
            assert_eq!(
                error.to_string(),
                "the registry at redis.example:6379 cannot be reached: it is older than Redis 6.2: upgrade it"
            );
        }
    }

    #[test]
    fn a_key_of_another_type_is_named() {
        let error = make_extension_error("WRONGTYPE".into(), Some("Operation against".into()));
        let key = |_| Some("roundhouse:{main}:log".into());
        let error = endpoint().explain_about("reading the log", &error, key);
        let text = error.to_string();
        assert!(
            text.contains("roundhouse:{main}:log is of another type"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_right_names_the_operation_and_what_redis_said() {
        let kind = ErrorKind::Server(ServerErrorKind::NoPerm);
        let said = "this user has no permissions to run the 'hset' command".to_owned();
        let error = RedisError::from((kind, "NOPERM", said));
        let text = endpoint().explain("commit", &error).to_string();
        assert!(
            text.contains("commit: ") && text.contains("'hset'"),
            "{text}"
        );
    }

    #[test]
    fn what_a_script_may_not_do_is_a_missing_right_in_the_words_of_every_version() {
        for said in [
            // Redis 6.2 says it with the place in the script, and 7.0 without.
            "Error running script (call to f_1): @user_script:90: @user_script: 90: The user executing the script can't run this \
             command or subcommand",
            "The user executing the script is lacking the permissions for the command",
            "The user executing the script can't run this command or subcommand script: 1, on @user_script:108.",
            // From Redis 7.2 on, and Valkey.
            "ACL failure in script: User admin has no permissions to run the 'set' command script: 1, on @user_script:108.",
        ] {
            let error = explain("ERR", said);
            assert!(
                matches!(error, RegistryError::MissingRight { .. }),
                "{error}"
            );
        }
    }

    #[test]
    fn a_script_on_a_node_that_has_not_its_keys_is_elsewhere_in_the_words_of_every_version() {
        for said in [
            "Error running script: @user_script: 9: Lua script attempted to access a non local key in a cluster node",
            "Script attempted to access a non local key in a cluster node script: 1, on @user_script:9.",
        ] {
            let error = make_extension_error("ERR".into(), Some(said.into()));
            assert!(is_elsewhere(&error), "{said}");
        }
    }

    #[test]
    fn a_script_on_a_replica_is_elsewhere_in_the_words_of_every_version() {
        for (code, said) in [
            // Redis 6.2, where the command ends the script, and where the script passes its error on.
            (
                "ERR",
                "Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write against a read only replica.",
            ),
            (
                "@user_script:",
                "1: -READONLY You can't write against a read only replica.",
            ),
            // From Redis 7.0 on.
            (
                "READONLY",
                "You can't write against a read only replica. script: 1, on @user_script:1.",
            ),
        ] {
            let error = make_extension_error(code.into(), Some(said.into()));
            assert!(is_elsewhere(&error), "{said}");
            let explained = endpoint().explain("committing", &error);
            assert!(
                matches!(explained, RegistryError::Unreachable { .. }),
                "{explained}"
            );
        }
    }

    #[test]
    fn a_password_that_a_server_repeats_is_not_passed_on() {
        let error = explain(
            "ERR",
            "unknown command 'HELLO', beginning with: 'AUTH' 'hunter2'",
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{:?}", endpoint()).contains("hunter2"));
    }

    #[test]
    fn a_password_with_white_space_is_not_passed_on_either() {
        for password in ["two  spaces", "a\ttab", " around "] {
            let passwords = vec![password.into()];
            let endpoint = Endpoint::new("redis.example:6379".into(), passwords, String::new());
            let said = format!("unknown command\r\n'AUTH' '{password}'");
            let error = make_extension_error("ERR".into(), Some(said));
            let told = endpoint.explain("connecting", &error).to_string();
            assert!(told.ends_with("unknown command 'AUTH' '***'"), "{told}");
        }
    }

    #[test]
    fn what_other_hands_wrote_is_cut_by_characters() {
        let long = "ü".repeat(REPEATED_MAX);
        assert_eq!(shortened(&long), long);
        assert_eq!(shortened(&format!("{long}x")), format!("{long}…"));
    }
}
