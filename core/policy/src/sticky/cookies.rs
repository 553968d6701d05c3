//! The cookies of a pool: what each server is called in them, and which server one names.
//!
//! A token is the code of a server's name and incarnation under a key of the fleet's. So every balancer makes and understands the same,
//! nobody else can make one or learn what it stands for, and a server at a new address is another. Looking one up is a look at a map.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::keys::{CODE_LENGTH, Keys};
use crate::{Live, Server, hash_key};

/// The length of a code in base64.
const TOKEN_LENGTH: usize = (CODE_LENGTH * 8).div_ceil(6);

/// How names begin that nobody chose.
const NAME_START: &str = "roundhouse-";

/// What a server is called in a cookie: the characters of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token([u8; TOKEN_LENGTH]);

/// What one server is called.
#[derive(Debug, Clone, Copy)]
struct Names {
    current: Token,
    previous: Option<Token>,
}

/// The cookies of a pool.
#[derive(Debug)]
pub struct Cookies {
    name: Box<str>,
    keys: Arc<Keys>,
    /// Of the servers' incarnations, in the order of the servers.
    numbers: Vec<u64>,
    /// By the same.
    names: HashMap<u64, Names, foldhash::fast::RandomState>,
    /// The places of the servers. Clients can ask for anything here, and put nothing in.
    places: HashMap<Token, u32, foldhash::fast::RandomState>,
}

impl Token {
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn of(code: [u8; CODE_LENGTH]) -> Self {
        let mut characters = [0; TOKEN_LENGTH];
        URL_SAFE_NO_PAD
            .encode_slice(code, &mut characters)
            .expect("there is room for as many");
        Self(characters)
    }
}

impl Cookies {
    /// Those of a pool; the same as before where nothing of it changed. Codes are made for new servers alone.
    pub(super) fn new(
        pool: &model::Pool,
        servers: &[Arc<Server>],
        keys: &Arc<Keys>,
        before: Option<&Arc<Self>>,
    ) -> Arc<Self> {
        let name = name(pool);
        let before = before.filter(|before| Arc::ptr_eq(&before.keys, keys));
        let numbers = || servers.iter().map(|server| server.number());
        if let Some(before) = before
            && *before.name == *name
            && before.numbers.iter().copied().eq(numbers())
        {
            return Arc::clone(before);
        }
        let mut cookies = Self {
            name: name.into(),
            keys: Arc::clone(keys),
            numbers: numbers().collect(),
            names: HashMap::default(),
            places: HashMap::default(),
        };
        for (place, server) in servers.iter().enumerate() {
            let known = before.and_then(|before| before.names.get(&server.number()));
            let names = known.copied().unwrap_or_else(|| names(server.live(), keys));
            cookies.add(place, server, names);
        }
        Arc::new(cookies)
    }

    fn add(&mut self, place: usize, server: &Server, names: Names) {
        let place = u32::try_from(place).expect("fewer servers than a u32 counts");
        self.names.insert(server.number(), names);
        self.places.insert(names.current, place);
        self.places
            .extend(names.previous.map(|previous| (previous, place)));
    }

    /// What they are called at the clients.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads a cookie's value. Nothing where that names no server of the pool.
    pub fn read(&self, value: &[u8]) -> Option<Token> {
        let token = Token(value.try_into().ok()?);
        self.places.contains_key(&token).then_some(token)
    }

    /// What this incarnation of a server is called in new cookies.
    pub fn token_of(&self, live: &Live) -> Option<Token> {
        self.names.get(&live.number()).map(|names| names.current)
    }

    pub(super) fn place(&self, token: Token) -> Option<usize> {
        self.places.get(&token).map(|place| *place as usize)
    }
}

fn names(live: &Live, keys: &Keys) -> Names {
    // Names hold no line end, so that no two servers have the same text.
    let text = format!("{}\n{}", live.key(), live.incarnation());
    Names {
        current: Token::of(keys.current(text.as_bytes())),
        previous: keys.previous(text.as_bytes()).map(Token::of),
    }
}

/// What an operator chose, or else what tells this pool's cookies from those of others and says nothing else of it.
fn name(pool: &model::Pool) -> String {
    if !pool.sticky.name.is_empty() {
        return pool.sticky.name.clone();
    }
    let hash = hash_key(pool.id.as_str().as_bytes());
    format!("{NAME_START}{:08x}", hash >> 32)
}
