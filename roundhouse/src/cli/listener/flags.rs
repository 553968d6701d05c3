//! How a listener speaks TLS, as flags say it. What none of them says stays as it is.

use std::path::PathBuf;

use model::{Alpn, CertificateId, ClientVerify, ListenerTls, TlsVersion};

use crate::cli::document::read_text;
use crate::cli::failure::Failure;
use crate::cli::words::one_of;

/// What is to be changed of a listener's TLS.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct TlsFlags {
    /// A certificate that is shown within TLS, in place of those that it names. May be repeated.
    #[arg(long, value_name = "NAME")]
    tls_certificate: Vec<CertificateId>,
    /// The certificate for clients that ask for no host, or for one that no certificate has.
    #[arg(long, value_name = "NAME")]
    tls_default: Option<CertificateId>,
    /// The oldest version of TLS that is spoken.
    #[arg(long, value_name = "VERSION", value_parser = one_of(&TlsVersion::ALL))]
    tls_min_version: Option<TlsVersion>,
    /// What is spoken within TLS, in place of what it names. May be repeated, the best first.
    #[arg(long, value_name = "PROTOCOL", value_parser = one_of(&Alpn::ALL))]
    tls_alpn: Vec<Alpn>,
    /// Whether clients need a certificate.
    #[arg(long, value_name = "WORD", value_parser = one_of(&ClientVerify::ALL))]
    tls_client_verify: Option<ClientVerify>,
    /// The roots that clients' certificates must lead to, as PEM; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// The field in which servers get the subject of a client's certificate.
    #[arg(long, value_name = "HEADER")]
    tls_client_subject_header: Option<String>,
}

impl TlsFlags {
    pub(super) fn is_empty(&self) -> bool {
        let Self {
            tls_certificate: certificates,
            tls_default: default,
            tls_min_version: min_version,
            tls_alpn: alpn,
            tls_client_verify: verify,
            tls_client_ca: ca,
            tls_client_subject_header: subject_header,
        } = self;
        let lists_are = certificates.is_empty() && alpn.is_empty();
        let of_clients_are = verify.is_none() && ca.is_none() && subject_header.is_none();
        lists_are && of_clients_are && default.is_none() && min_version.is_none()
    }

    /// What they make of the settings that there are.
    pub(super) fn over(self, mut tls: ListenerTls) -> Result<ListenerTls, Failure> {
        replace_list(&mut tls.certificates, self.tls_certificate);
        replace_list(&mut tls.alpn, self.tls_alpn);
        tls.default = self.tls_default.or(tls.default);
        replace(&mut tls.min_version, self.tls_min_version);
        replace(&mut tls.client.verify, self.tls_client_verify);
        let ca = self.tls_client_ca.map(|file| read_text(&file));
        replace(&mut tls.client.ca, ca.transpose()?);
        let subject_header = self.tls_client_subject_header;
        replace(&mut tls.client.subject_header, subject_header);
        Ok(tls)
    }
}

fn replace<T>(setting: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *setting = said;
    }
}

fn replace_list<T>(setting: &mut Vec<T>, said: Vec<T>) {
    if !said.is_empty() {
        *setting = said;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::words::word;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        flags: TlsFlags,
    }

    fn flags(words: &str) -> TlsFlags {
        let words = ["set"].into_iter().chain(words.split_whitespace());
        let parsed = CommandLine::try_parse_from(words);
        parsed.unwrap_or_else(|error| panic!("{error}")).flags
    }

    fn over(tls: &ListenerTls, words: &str) -> ListenerTls {
        let made = flags(words).over(tls.clone());
        made.unwrap_or_else(|_| panic!("{words}"))
    }

    #[test]
    fn each_flag_changes_its_setting_and_no_other() {
        let plain = ListenerTls::default();
        assert!(flags("").is_empty());
        assert_eq!(over(&plain, ""), plain);
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "roots").expect("a file");
        let file = format!("--tls-client-ca {}", file.display());
        let mut made = plain;
        for words in [
            "--tls-certificate a --tls-certificate b",
            "--tls-default a",
            "--tls-min-version 1.3",
            "--tls-alpn http/1.1",
            "--tls-client-verify required",
            &file,
            "--tls-client-subject-header X-Who",
        ] {
            assert!(!flags(words).is_empty(), "{words}");
            let next = over(&made, words);
            assert_ne!(next, made, "{words}");
            made = next;
        }
        let expected = serde_json::json!({
            "certificates": ["a", "b"], "default": "a", "min_version": "1.3", "alpn": ["http/1.1"],
            "client": {"verify": "required", "ca": "roots", "subject_header": "X-Who"},
        });
        assert_eq!(serde_json::to_value(&made).expect("JSON"), expected);
        assert_eq!(over(&made, "--tls-certificate c").certificates.len(), 1);
    }

    #[test]
    fn the_model_knows_every_word_that_the_help_names() {
        let plain = ListenerTls::default();
        for version in TlsVersion::ALL {
            let made = over(&plain, &format!("--tls-min-version {}", word(&version)));
            assert_eq!(made.min_version, version);
        }
        for protocol in Alpn::ALL {
            let made = over(&plain, &format!("--tls-alpn {}", word(&protocol)));
            assert_eq!(made.alpn, [protocol]);
        }
        for verify in ClientVerify::ALL {
            let made = over(&plain, &format!("--tls-client-verify {}", word(&verify)));
            assert_eq!(made.client.verify, verify);
        }
        assert!(CommandLine::try_parse_from(["set", "--tls-min-version", "1.1"]).is_err());
    }
}
