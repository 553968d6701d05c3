//! What Redis and its connection say when something fails, as one of the kinds that an operator can act on.

use redis::{ErrorKind, RedisError};

use crate::RegistryError;

/// Which registry it was, and what must not be repeated of how it was reached.
#[derive(Clone)]
pub(super) struct Endpoint {
    address: String,
    password: String,
}

/// Without the password.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.address)
    }
}

impl Endpoint {
    pub(super) fn new(address: String, password: Option<&str>) -> Self {
        let password = password.unwrap_or_default().into();
        Self { address, password }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Says what an error means to an operator.
    pub(super) fn explain(&self, operation: &'static str, error: &RedisError) -> RegistryError {
        let (code, detail) = code_and_detail(error);
        let reason = self.without_password(&detail);
        let endpoint = self.address.clone();
        // Before Redis 7.2, what a script may not do has no code of its own.
        let code = if reason.contains("user executing the script can't") {
            "NOPERM"
        } else {
            code.as_str()
        };
        match code {
            "WRONGPASS" | "NOAUTH" => RegistryError::WrongPassword { endpoint, reason },
            "NOPERM" => RegistryError::MissingRight {
                reason: format!("{operation}: {reason}"),
            },
            "LOADING" | "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY" => {
                RegistryError::Unreachable { endpoint, reason }
            }
            _ if error.kind() == ErrorKind::AuthenticationFailed => {
                RegistryError::WrongPassword { endpoint, reason }
            }
            _ if error.kind() == ErrorKind::Io => RegistryError::Unreachable { endpoint, reason },
            _ => RegistryError::Unexpected { operation, reason },
        }
    }

    pub(super) fn unreachable(&self, reason: impl Into<String>) -> RegistryError {
        RegistryError::Unreachable {
            endpoint: self.address.clone(),
            reason: reason.into(),
        }
    }

    /// A server may repeat what it was sent, passwords included.
    fn without_password(&self, text: &str) -> String {
        if self.password.is_empty() {
            text.into()
        } else {
            text.replace(&self.password, "***")
        }
    }
}

/// The code that the server gave, if it was the server, and what it or the connection said. Of a failed
/// transaction the first command's error counts.
fn code_and_detail(error: &RedisError) -> (String, String) {
    let errors = error.clone().into_server_errors();
    let Some((_, first)) = errors.as_deref().and_then(<[_]>::first) else {
        let code = error.code().unwrap_or_default();
        return (code.into(), error.to_string());
    };
    let code = first.code();
    let detail = first.details().unwrap_or_default();
    (code.into(), format!("{code} {detail}").trim_end().into())
}

#[cfg(test)]
mod tests {
    use redis::{ServerErrorKind, make_extension_error};

    use super::*;

    fn endpoint() -> Endpoint {
        Endpoint::new("redis.example:6379".into(), Some("hunter2"))
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
    fn a_password_that_a_server_repeats_is_not_passed_on() {
        let error = explain(
            "ERR",
            "unknown command 'HELLO', beginning with: 'AUTH' 'hunter2'",
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{:?}", endpoint()).contains("hunter2"));
    }
}
