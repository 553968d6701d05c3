//! What to do about what Redis, TLS or the connection said, where their own words do not tell.

/// What is said, and what helps.
const ADVICE: [(&str, &str); 22] = [
    (
        "max number of clients reached",
        "raise its maxclients, or close what else is connected",
    ),
    (
        "OOM ",
        "its memory is full: raise its maxmemory, or remove other keys",
    ),
    (
        "oom flag is not set",
        "its memory is full: raise its maxmemory, or remove other keys",
    ),
    (
        "READONLY",
        "it is a replica by now; its master is found by redis+sentinel:// or redis+cluster://, not by redis://",
    ),
    (
        "NOREPLICAS",
        "fewer of its replicas answer than its min-replicas-to-write says: see them by INFO replication",
    ),
    (
        "MOVED",
        "it is a node of a cluster, and another one has the fleet's keys: redis+cluster:// finds it",
    ),
    (
        "ASK ",
        "the fleet's keys are being moved to another node: that passes",
    ),
    (
        "CLUSTERDOWN",
        "the cluster has no node for the fleet's slot: see CLUSTER INFO",
    ),
    (
        "Parse error at",
        "what answers there is no Redis: see the host and the port of its URL",
    ),
    (
        "DB index is out of range",
        "the path of its URL names a database that it has not: see its setting `databases`",
    ),
    (
        "unknown command 'SENTINEL'",
        "it is no Sentinel: write redis:// where it is the Redis itself",
    ),
    (
        "unknown command `SENTINEL`",
        "it is no Sentinel: write redis:// where it is the Redis itself",
    ),
    (
        "UnknownIssuer",
        "its certificate is not from a CA that is trusted here: name the CA's file by --registry-ca",
    ),
    (
        "BadSignature",
        "its certificate is not from the CA of --registry-ca",
    ),
    (
        "NotValidForName",
        "its certificate is for other names than the one in the URL",
    ),
    (
        "certificate not valid for name",
        "name it in the URL as its certificate does",
    ),
    ("certificate expired", "renew its certificate"),
    (
        "CertificateRequired",
        "it asks for a client certificate: give --registry-cert and --registry-key",
    ),
    (
        "fatal alert: UnknownCA",
        "it does not trust the CA of --registry-cert",
    ),
    (
        "fatal alert: DecryptError",
        "it does not accept the certificate of --registry-cert",
    ),
    (
        "fatal alert: BadCertificate",
        "it does not accept the certificate of --registry-cert",
    ),
    (
        "InvalidContentType",
        "it does not speak TLS there: name its TLS port, or write redis:// instead of rediss://",
    ),
];

/// The words with the advice that there is for them.
pub(super) fn with_advice(words: String) -> String {
    match ADVICE.iter().find(|(said, _)| words.contains(said)) {
        Some((_, advice)) => format!("{words}: {advice}"),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_gets_advice_and_the_rest_stays_as_it_is() {
        let advised = with_advice("ERR max number of clients reached".into());
        assert!(advised.ends_with("raise its maxclients, or close what else is connected"));
        assert_eq!(
            with_advice("Connection refused".into()),
            "Connection refused"
        );
    }
}
