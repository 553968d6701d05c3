//! Reads the sources and keeps them as `docs/architecture.md` says they are: small files that say why they
//! exist, dependencies in the permitted direction, and a reason for every library.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of code that a file may hold, its tests aside.
const FILE_LINES_MAX: usize = 500;

/// What each crate may depend on, of this workspace.
const PERMITTED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("policy", &["model"]),
    ("registry", &["model"]),
    ("certificates", &["model"]),
    ("probe", &["model", "certificates"]),
    ("client", &["model"]),
    ("runtime", &[]),
    (
        "balancer",
        &[
            "model",
            "policy",
            "registry",
            "certificates",
            "probe",
            "runtime",
        ],
    ),
    (
        "orchestrator",
        &[
            "model",
            "policy",
            "registry",
            "certificates",
            "probe",
            "runtime",
        ],
    ),
    (
        "admin-api",
        &["model", "policy", "registry", "certificates", "runtime"],
    ),
    ("demo-servers", &["client", "model", "runtime"]),
    ("bench", &["model", "registry"]),
    (
        "roundhouse",
        &[
            "model",
            "policy",
            "registry",
            "certificates",
            "probe",
            "client",
            "runtime",
            "balancer",
            "orchestrator",
            "admin-api",
            "demo-servers",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace holds this crate")
        .into()
}

fn crates() -> Vec<PathBuf> {
    let manifest: toml::Table = read_toml(&root().join("Cargo.toml"));
    let members = manifest["workspace"]["members"]
        .as_array()
        .expect("a list of members");
    members
        .iter()
        .map(|member| root().join(member.as_str().expect("a path")))
        .collect()
}

fn read_toml(path: &Path) -> toml::Table {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for path in entries.map(|entry| entry.expect("a folder entry").path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in crates() {
        sources(&folder.join("src"), &mut found);
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The lines of code before a file's tests: neither blank nor comment.
fn code_lines(text: &str) -> usize {
    let code = text
        .split("\n#[cfg(test)]\nmod tests")
        .next()
        .expect("split yields at least one part");
    code.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

fn is_test_file(path: &Path) -> bool {
    let text = path.to_string_lossy();
    text.ends_with("/tests.rs") || text.contains("/tests/")
}

#[test]
fn every_file_says_why_it_exists_before_anything_else() {
    let silent: Vec<_> = all_sources()
        .into_iter()
        .filter(|path| !is_test_file(path))
        .filter(|path| {
            !fs::read_to_string(path)
                .expect("a source")
                .starts_with("//! ")
        })
        .collect();
    assert!(
        silent.is_empty(),
        "these do not open with a //! comment: {silent:#?}"
    );
}

#[test]
fn no_file_needs_a_search() {
    let long: Vec<_> = all_sources()
        .into_iter()
        .filter(|path| !is_test_file(path))
        .map(|path| {
            (
                code_lines(&fs::read_to_string(&path).expect("a source")),
                path,
            )
        })
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .collect();
    assert!(
        long.is_empty(),
        "longer than {FILE_LINES_MAX} lines of code: {long:#?}"
    );
}

#[test]
fn crates_depend_in_the_permitted_direction_only() {
    let permitted: BTreeMap<_, _> = PERMITTED.iter().copied().collect();
    for folder in crates() {
        let manifest = read_toml(&folder.join("Cargo.toml"));
        let name = manifest["package"]["name"].as_str().expect("a name");
        let allowed = permitted
            .get(name)
            .unwrap_or_else(|| panic!("{name} has no place in the layout"));
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for dependency in dependencies.into_iter().flat_map(toml::Table::keys) {
            let internal = permitted.contains_key(dependency.as_str());
            assert!(
                !internal || allowed.contains(&dependency.as_str()),
                "{name} may not depend on {dependency}"
            );
            assert!(
                dependency != "redis" || name == "registry",
                "only the registry names redis, not {name}"
            );
        }
    }
}

#[test]
fn every_library_has_its_reason() {
    let reasons =
        fs::read_to_string(root().join("docs/dependencies.md")).expect("docs/dependencies.md");
    let manifest = read_toml(&root().join("Cargo.toml"));
    let libraries = manifest["workspace"]["dependencies"]
        .as_table()
        .expect("shared dependencies");
    let external = libraries
        .iter()
        .filter(|(_, value)| value.get("path").is_none());
    let missing: Vec<_> = external
        .map(|(name, _)| name)
        .filter(|name| !reasons.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/dependencies.md gives no reason for {missing:?}"
    );
}
