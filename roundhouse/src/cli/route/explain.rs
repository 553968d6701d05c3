//! `roundhouse route explain`: which route would take a request, and why the others would not.

use std::net::IpAddr;

use client::{Considered, Explained, Inquiry};
use http::uri::Authority;
use http::{Method, Uri};
use model::Action;

use super::table::action;
use crate::cli::connection::Connection;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, columns};

/// The flags of `roundhouse route explain`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// What the request asks for, such as https://shop.example.com/api/orders?page=2.
    #[arg(value_name = "URL", value_parser = url)]
    url: Uri,
    /// Its method.
    #[arg(long, value_name = "METHOD", default_value = "GET", value_parser = method)]
    method: Method,
    /// One of its headers. May be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The client's address.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = client)]
    client: IpAddr,
    #[command(flatten)]
    connection: Connection,
    #[command(flatten)]
    output: Output,
}

pub(super) async fn run(args: &Args) -> Result<(), Failure> {
    let explained = args.connection.client()?.explain(&args.inquiry()).await?;
    args.output.write(&explained, text)
}

impl Args {
    fn inquiry(&self) -> Inquiry {
        let authority = self.url.authority().map(Authority::as_str);
        Inquiry {
            method: Some(self.method.to_string()),
            scheme: self.url.scheme_str().map(str::to_owned),
            host: authority.unwrap_or_default().to_owned(),
            path: self.url.path().to_owned(),
            query: self.url.query().unwrap_or_default().to_owned(),
            headers: self.header.iter().cloned().collect(),
            client: Some(self.client),
        }
    }
}

/// Where the request goes, and below it the routes that were considered, as they come one before the other.
pub(in crate::cli) fn text(explained: &Explained) -> String {
    let mut text = outcome(explained);
    if !explained.considered.is_empty() {
        let rows = explained.considered.iter();
        let rows = rows.map(|it| row(it, explained)).collect();
        text.push_str("\n\n");
        text.push_str(&columns(["ROUTE", "PRIORITY", "WHY"], rows));
    }
    if explained.left_out > 0 {
        text.push_str(&format!("\nand {} more", explained.left_out));
    }
    text
}

fn outcome(explained: &Explained) -> String {
    let path = &explained.path;
    let Some(route) = &explained.route else {
        return format!("no route claims {path}: the pool default answers");
    };
    let firewall = match explained.is_let_in {
        true => "",
        false => ", whose firewall refuses the client",
    };
    let place = destination(explained);
    format!("route {route} takes {path}: {place}{firewall}")
}

/// What becomes of this request, of a split the pools that may have it.
fn destination(explained: &Explained) -> String {
    match (&explained.action, explained.pools.as_slice()) {
        (Some(Action::Split(_)), [only]) => format!("pool {}, of a split", only.pool),
        (Some(Action::Split(_)), pools) => {
            let shares = pools.iter();
            let shares = shares.map(|it| format!("{} ({:.1}%)", it.pool, it.share * 100.0));
            format!("pool {}", shares.collect::<Vec<_>>().join(" or "))
        }
        (Some(other), _) => action(other),
        (None, _) => "an action that is not known here".into(),
    }
}

fn row(considered: &Considered, explained: &Explained) -> [String; 3] {
    let takes = explained.route.as_ref() == Some(&considered.route);
    let why = match &considered.outranked_by {
        _ if takes => "takes it".to_owned(),
        Some(rank) => format!("claims it, but comes later by {rank}"),
        None => format!("does not claim it by {}", considered.unmet.join(", ")),
    };
    [
        considered.route.to_string(),
        considered.priority.to_string(),
        why,
    ]
}

fn url(text: &str) -> Result<Uri, String> {
    let rule = || "must be a URL such as https://shop.example.com/api".to_owned();
    let url: Uri = text.parse().map_err(|_| rule())?;
    let is_web = matches!(url.scheme_str(), Some("http" | "https"));
    if is_web { Ok(url) } else { Err(rule()) }
}

/// A token (RFC 9110, 9.1).
fn method(text: &str) -> Result<Method, String> {
    let rule = |_| "must be a method as requests write it, such as \"GET\"".to_owned();
    Method::from_bytes(text.as_bytes()).map_err(rule)
}

fn client(text: &str) -> Result<IpAddr, String> {
    let rule = |_| "must be an IP address, such as 192.0.2.7".to_owned();
    text.parse().map_err(rule)
}

fn header(text: &str) -> Result<(String, String), String> {
    let rule = || "must be a name, = and a value".to_owned();
    let (name, value) = text.split_once('=').ok_or_else(rule)?;
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_token_and_no_other_word() {
        for good in ["GET", "get", "M-SEARCH"] {
            assert_eq!(method(good).expect(good), good);
        }
        for bad in ["", "a b", "GET/", "GET\r\n", "é"] {
            let rule = method(bad).expect_err(bad);
            assert_eq!(
                rule,
                "must be a method as requests write it, such as \"GET\""
            );
        }
    }
}
