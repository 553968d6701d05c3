//! A CA and certificates of its making, by the openssl command.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::directory;

/// What a certificate of a server or client is good for.
const EXTENSIONS: &str = "basicConstraints=critical,CA:FALSE\n\
     subjectAltName=IP:127.0.0.1,DNS:localhost\n\
     extendedKeyUsage=serverAuth,clientAuth\n";

/// A CA, and one certificate of its making, for 127.0.0.1 and for clients.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Makes them.
    pub fn make() -> Self {
        let directory = directory();
        let path = directory.path();
        std::fs::write(path.join("extensions"), EXTENSIONS).expect("a file");
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for line in [
            format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=ca"),
            format!("req -new {key} -keyout own.key -out own.csr -subj /CN=own"),
            "x509 -req -in own.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out own.pem -days 2 -extfile extensions".into(),
        ] {
            openssl(path, &line);
        }
        Self { directory }
    }

    /// The file of the CA's certificate.
    pub fn authority(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// The file of the certificate.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("own.pem")
    }

    /// The file of its key.
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("own.key")
    }

    /// What a redis-server needs to use them.
    pub(super) fn server_arguments(&self) -> Vec<String> {
        let text = |path: PathBuf| path.to_str().expect("a temporary path is text").to_owned();
        [
            ("--tls-ca-cert-file", self.authority()),
            ("--tls-cert-file", self.certificate()),
            ("--tls-key-file", self.key()),
        ]
        .into_iter()
        .flat_map(|(flag, path)| [flag.to_owned(), text(path)])
        .collect()
    }
}

fn openssl(directory: &Path, line: &str) {
    let mut command = Command::new("openssl");
    command.args(line.split(' ')).current_dir(directory);
    let output = command.output().expect("openssl is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {line}: {said}");
}
