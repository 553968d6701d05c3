//! The flags that every command which asks the admin API has.

use std::path::PathBuf;

use client::{AdminUrl, Client, Token};

use super::failure::Failure;

/// Where the admin API is, and what it is told in confidence.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Connection {
    /// The admin API.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    admin: AdminUrl,
    /// A file that holds its token.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl Connection {
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let token = self.token_file.as_deref().map(Token::from_file);
        Ok(Client::new(self.admin.clone(), token.transpose()?))
    }
}
