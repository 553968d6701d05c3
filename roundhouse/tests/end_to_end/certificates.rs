//! The commands of certificates and seal keys, and the flags by which a fleet is started with them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use certificates::testing::Authority;
use certificates::{Chain, SealKeys};
use model::{CertificateId, KeptKey};
use serde_json::Value;

use crate::operators::{Fleet, one_line};
use crate::support::run;
use crate::up::Up;

/// A folder with a chain `www.pem` and its key `www.key`.
struct Files {
    folder: tempfile::TempDir,
    authority: Authority,
}

impl Files {
    fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority: Authority::new("Test Root"),
        };
        files.issue("www", &["www.example", "*.www.example"]);
        files
    }

    fn issue(&self, name: &str, hosts: &[&str]) {
        let issued = self.authority.issue(hosts);
        fs::write(self.path(&format!("{name}.pem")), issued.chain).expect("a file");
        fs::write(self.path(&format!("{name}.key")), issued.key).expect("a file");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, chain: &str, key: &str) -> String {
        let [chain, key] = [chain, key].map(|name| self.path(name));
        let (chain, key) = (chain.display(), key.display());
        format!("certificate put www --chain {chain} --key {key}")
    }
}

/// Whether the key that the API shows opens by a file of seal keys.
fn opens(shown: &Value, file: &Path) {
    let keys = SealKeys::parse(&fs::read_to_string(file).expect("a file")).expect("seal keys");
    let KeptKey::Sealed(sealed) = serde_json::from_value(shown["key"].clone()).expect("a key");
    let id: CertificateId = "www".parse().expect("a name");
    let key = keys
        .open(&id, &sealed)
        .expect("it is sealed to one of them");
    let chain = Chain::parse(shown["chain"].as_str().expect("a text")).expect("a chain");
    chain.with_key(&key).expect("it is the chain's");
}

/// Has the listener `https` show the certificate; the file that says so.
fn use_by_default(fleet: &Fleet, files: &Files) -> PathBuf {
    let listener = files.path("https.yaml");
    fs::write(&listener, "tls: {default: www, min_version: \"1.3\"}\n").expect("a file");
    fleet.output(&format!("listener set https --file {}", listener.display()));
    listener
}

#[test]
fn a_certificate_is_put_listed_shown_exported_and_removed() {
    let (fleet, files) = (Fleet::start(), Files::new());
    let put = fleet.output(&format!("{} --wait", files.put("www.pem", "www.key")));
    assert!(put.starts_with("put certificate www by revision "), "{put}");
    let listed = fleet.output("certificate list");
    let row = listed.lines().nth(1).expect("a row");
    assert!(
        row.starts_with("www   www.example, *.www.example  20"),
        "{listed}"
    );
    let status = fleet.output("status");
    assert!(status.contains("\ncertificates   1\n"), "{status}");
    let json = fleet.json("certificate show www");
    assert_eq!(json["subject"], "CN=www.example");

    let document = fleet.output("export");
    assert!(!document.contains("PRIVATE KEY"), "{document}");
    let file = files.path("fleet.yaml");
    fs::write(&file, &document).expect("a file");
    let same = fleet.json(&format!("apply --file {} --prune", file.display()));
    assert_eq!(same["changed"], false, "{same}");
    let shown = fleet.output("certificate show www");
    assert!(
        shown.starts_with("id: www\nchain: ") && !shown.contains("subject"),
        "{shown}"
    );

    let listener = use_by_default(&fleet, &files);
    let (code, _, errors) = fleet.run("certificate remove www");
    assert_eq!(code, 1);
    assert!(
        one_line(&errors).contains("is used by the listener \"https\""),
        "{errors}"
    );
    fs::write(&listener, "{}\n").expect("a file");
    fleet.output(&format!("listener set https --file {}", listener.display()));
    let removed = fleet.output("certificate remove www --wait");
    assert!(
        removed.starts_with("removed certificate www by revision "),
        "{removed}"
    );
}

fn with_listener() -> (Fleet, Files) {
    let (fleet, files) = (Fleet::start(), Files::new());
    fleet.output(&files.put("www.pem", "www.key"));
    use_by_default(&fleet, &files);
    (fleet, files)
}

#[test]
fn what_a_listener_is_not_set_to_by_a_flag_stays() {
    let (fleet, _files) = with_listener();
    fleet.output("listener set https --deny 192.0.2.0/24");
    let https = fleet.json("listener show https");
    assert_eq!(https["tls"]["default"], "www");
    assert_eq!(https["firewall"]["deny"][0], "192.0.2.0/24");
    fleet.output("listener set https --health");
    let watched = fleet.json("listener show https");
    assert_eq!(watched["health"], true);
    assert_eq!(watched["tls"], https["tls"]);
    assert_eq!(watched["firewall"], https["firewall"]);
    fleet.output("listener set https");
    let open = fleet.json("listener show https");
    assert_eq!(
        (&open["health"], &open["tls"]),
        (&watched["health"], &https["tls"])
    );
    assert_eq!(open["firewall"]["deny"][0], Value::Null);
    let document = fleet.output("export");
    assert!(document.contains("\n  health: true\n"), "{document}");
    fleet.output("listener set https --health=false");
    let quiet = fleet.json("listener show https");
    assert_eq!(
        (&quiet["health"], &quiet["tls"]),
        (&Value::Null, &https["tls"])
    );
}

#[test]
fn how_a_listener_speaks_tls_is_changed_flag_by_flag() {
    let (fleet, files) = with_listener();
    fleet.output("listener set https --deny 192.0.2.0/24");
    let ca = files.path("ca.pem");
    fs::write(&ca, files.authority.pem()).expect("a file");
    let ca = ca.display();
    fleet.output(&format!(
        "listener set https --tls-client-verify required --tls-client-ca {ca} --tls-alpn http/1.1"
    ));
    let strict = fleet.json("listener show https");
    assert_eq!(strict["tls"]["default"], "www");
    assert_eq!(strict["tls"]["min_version"], "1.3");
    assert_eq!(strict["tls"]["alpn"], serde_json::json!(["http/1.1"]));
    assert_eq!(strict["tls"]["client"]["verify"], "required");
    assert_eq!(strict["tls"]["client"]["ca"], files.authority.pem());
    assert_eq!(strict["firewall"]["deny"][0], "192.0.2.0/24");
    let (code, _, errors) = fleet.run("listener set http --tls-min-version 1.3");
    assert_eq!(code, 2);
    assert!(
        one_line(&errors).contains("is for the listener"),
        "{errors}"
    );
}

#[test]
fn a_seal_key_is_written_for_its_owner_alone_and_never_over_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("seal.keys");
    let path = file.to_str().expect("a path");
    let (code, public, errors) = run(&["seal-key", "new", path]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(public.starts_with("roundhouse-seal-public:"), "{public}");
    let mode = fs::metadata(&file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (code, again, _) = run(&["seal-key", "public", path]);
    assert_eq!((code, &again), (0, &public));
    let before = fs::read(&file).expect("a file");
    let (code, _, errors) = run(&["seal-key", "new", path]);
    assert_eq!(code, 2);
    assert!(one_line(&errors).contains("exists"), "{errors}");
    assert_eq!(fs::read(&file).expect("a file"), before);
    fs::write(&file, &public).expect("a file");
    let (code, _, errors) = run(&["seal-key", "public", path]);
    assert_eq!(code, 2);
    assert!(
        one_line(&errors).contains("line 1 is the public half"),
        "{errors}"
    );
}

#[test]
fn a_fleet_seals_to_the_first_key_of_its_file_and_the_client_to_whichever_it_is_given() {
    let files = Files::new();
    let [old, new] = ["old.keys", "new.keys"].map(|name| files.path(name));
    let public = [&old, &new].map(|file| {
        let (code, public, _) = run(&["seal-key", "new", file.to_str().expect("a path")]);
        assert_eq!(code, 0);
        public.trim().to_owned()
    });
    let lines = [&new, &old].map(|file| fs::read_to_string(file).expect("a file"));
    let both = files.path("both.keys");
    fs::write(&both, lines.concat()).expect("a file");
    let both = both.to_str().expect("a path");
    let up = Up::start(&[
        "--servers",
        "1",
        "--balancers",
        "1",
        "--seal-key-file",
        both,
    ]);
    let put = |more: &[&str]| {
        let line = files.put("www.pem", "www.key");
        let mut arguments: Vec<_> = line.split(' ').collect();
        arguments.extend(["--admin", &up.admin, "--output", "json"]);
        arguments.extend(more);
        let (code, output, errors) = run(&arguments);
        assert_eq!((code, errors.as_str()), (0, ""));
        serde_json::from_str::<Value>(&output).expect("JSON")
    };
    opens(&put(&[]), &new);
    opens(&put(&["--seal-to", &public[0]]), &old);
    let (_, status, _) = run(&["status", "--admin", &up.admin]);
    assert!(
        status.contains("seal") && status.contains("put it again"),
        "{status}"
    );
}

#[test]
fn what_is_wrong_with_a_certificate_is_one_line_that_holds_no_secret() {
    let (fleet, files) = (Fleet::start(), Files::new());
    files.issue("other", &["other.example"]);
    let secret = files.path("seal.keys");
    run(&["seal-key", "new", secret.to_str().expect("a path")]);
    let secret = fs::read_to_string(secret).expect("a file");
    let with_secret = format!(
        "{} --seal-to {}",
        files.put("www.pem", "www.key"),
        secret.trim()
    );
    for (command, named) in [
        (
            files.put("www.pem", "other.key"),
            "other.key: is not the key of this certificate",
        ),
        (
            files.put("www.key", "www.key"),
            "www.key: holds no certificate in PEM",
        ),
        (
            files.put("www.pem", "www.pem"),
            "www.pem: holds no private key in PEM",
        ),
        (files.put("none.pem", "www.key"), "none.pem: No such file"),
        (with_secret, "--seal-to: is the secret half of a seal key"),
    ] {
        let (code, _, errors) = fleet.run(&command);
        assert_eq!(code, 2, "{command}: {errors}");
        assert!(one_line(&errors).contains(named), "{command}: {errors}");
        assert!(!errors.contains(secret.trim()), "{command}: {errors}");
    }
    let (code, _, errors) = fleet.run("certificate show www");
    assert_eq!(code, 1);
    assert!(
        one_line(&errors).contains("no certificate \"www\""),
        "{errors}"
    );
    let (code, _, errors) = run(&[
        "up",
        "--seal-key-file",
        files.path("www.pem").to_str().expect("a path"),
    ]);
    assert_eq!(code, 2);
    assert!(
        one_line(&errors).contains("--seal-key-file") && errors.contains("is no seal key"),
        "{errors}"
    );
}
