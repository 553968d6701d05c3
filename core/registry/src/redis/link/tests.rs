//! What a request that was sent twice is said to have become, by a Redis that plays along.

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::redis::address::Address;

/// Greets whoever connects, reads one command, and answers it; without an answer the connection ends.
async fn answer_once(stream: TcpStream, answer: Option<&str>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.expect("a command") > 0 {
        match line.trim_end() {
            // The last line of `HELLO 3`.
            "3" => stream.write_all(b"%0\r\n").await.expect("a client"),
            "wanted" => match answer {
                Some(answer) => {
                    let answer = format!("{answer}\r\n");
                    stream.write_all(answer.as_bytes()).await.expect("a client");
                }
                None => return,
            },
            _ => {}
        }
        line.clear();
    }
}

#[tokio::test]
async fn who_refuses_what_was_sent_before_says_nothing_of_what_became_of_it() {
    for refusal in [
        "-READONLY You can't write against a read only replica.",
        "-LOADING Redis is loading the dataset in memory",
        "-MASTERDOWN Link with MASTER is down",
    ] {
        for (answers, certain) in [
            (vec![None, Some(refusal)], false),
            (vec![Some(refusal)], true),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let served = tokio::spawn(async move {
                for answer in answers {
                    let (stream, _) = listener.accept().await.expect("a client");
                    answer_once(stream, answer).await;
                }
            });
            let address = Address::parse(&format!("redis://{address}")).expect("a URL");
            let link = Link::new(Locator::new(address, None, String::new(), String::new()));
            let mut command = redis::cmd("SET");
            command.arg("key").arg("wanted");
            let asked: Result<(), _> = link.ask("committing", &command).await;
            let error = asked.expect_err(refusal);
            let RegistryError::Unreachable { nothing_done, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(nothing_done, certain, "{refusal}");
            drop(link);
            served.await.expect("the server ends in order");
        }
    }
}
