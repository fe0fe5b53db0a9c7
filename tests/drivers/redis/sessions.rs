//! What a connection remembers, or a server for it, and what a server says by itself.

use std::time::Instant;

use futures_util::StreamExt;
use redis::caching::CacheConfig;
use redis::{AsyncTypedCommands, Cmd, PushInfo, PushKind, Script, Value, pipe};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{PATIENCE, Suite, ask, patient, refused};

pub(super) const OTHER_DATABASE: i64 = 1;

/// Rounds in which two clients wake each other.
const ROUNDS: usize = 50;

impl Suite {
    pub(super) async fn transactions(&self) {
        let (mut redis, mut other) = (self.open().await, self.open().await);
        let key = self.key("account");
        redis.set(&key, 100).await.unwrap();
        let found: (i64, i64) = pipe()
            .atomic()
            .incr(&key, -10)
            .get(&key)
            .query_async(&mut redis)
            .await
            .unwrap();
        assert_eq!(found, (90, 90));
        for disturbed in [true, false] {
            ask::<()>(&mut redis, &["WATCH", &key]).await;
            let sum: i64 = ask(&mut redis, &["GET", &key]).await;
            if disturbed {
                other.set(&key, 50).await.unwrap();
            }
            let mut withdraw = pipe();
            withdraw.atomic().set(&key, sum - 10).ignore().get(&key);
            let found: Option<(i64,)> = withdraw.query_async(&mut redis).await.unwrap();
            assert_eq!(found, (!disturbed).then_some((40,)));
        }
        ask::<()>(&mut redis, &["MULTI"]).await;
        assert_eq!(
            ask::<String>(&mut redis, &["SET", &key, "a"]).await,
            "QUEUED"
        );
        ask::<()>(&mut redis, &["DISCARD"]).await;
        ask::<()>(&mut redis, &["MULTI"]).await;
        assert_eq!(refused(&mut redis, &["NOSUCHCOMMAND"]).await, "ERR");
        assert_eq!(refused(&mut redis, &["EXEC"]).await, "EXECABORT");
        assert_eq!(refused(&mut redis, &["EXEC"]).await, "ERR");
        assert_eq!(redis.get(&key).await.unwrap().unwrap(), "40");
    }

    pub(super) async fn scripts(&self) {
        let mut redis = self.open().await;
        let (key, name) = (self.key("script"), self.prefix.trim_end_matches(':'));
        let body = format!("return redis.call('INCRBY', KEYS[1], ARGV[1]) -- {name}");
        let script = Script::new(&body);
        let digest = script.get_hash().to_string();
        assert_eq!(
            refused(&mut redis, &["EVALSHA", &digest, "1", &key, "1"]).await,
            "NOSCRIPT"
        );
        // The driver loads it by itself when the server does not have it.
        for wanted in [5, 10] {
            let found: i64 = script
                .key(&key)
                .arg(5)
                .invoke_async(&mut redis)
                .await
                .unwrap();
            assert_eq!(found, wanted);
        }
        assert_eq!(
            ask::<Vec<bool>>(&mut redis, &["SCRIPT", "EXISTS", &digest]).await,
            [true]
        );
        assert_eq!(
            ask::<i64>(&mut redis, &["EVAL", &body, "1", &key, "1"]).await,
            11
        );
        let own = ["EVAL", "return redis.error_reply('MY own')", "0"];
        assert_eq!(refused(&mut redis, &own).await, "MY");
        let call = "function(keys, args) return redis.call('SET', keys[1], args[1]) end";
        let library = format!("#!lua name={name}\nredis.register_function('{name}', {call})\n");
        assert_eq!(
            ask::<String>(&mut redis, &["FUNCTION", "LOAD", &library]).await,
            name
        );
        assert_eq!(
            ask::<String>(&mut redis, &["FCALL", name, "1", &key, "a"]).await,
            "OK"
        );
        ask::<()>(&mut redis, &["FUNCTION", "DELETE", name]).await;
        assert_eq!(
            refused(&mut redis, &["FCALL", name, "1", &key, "a"]).await,
            "ERR"
        );
    }

    pub(super) async fn blocking(&self) {
        let (mut redis, mut other) = (self.open().await, self.open().await);
        let [one, two, gone] = ["queue", "other queue", "gone"].map(|name| self.key(name));
        assert_eq!(redis.blpop(&[&gone, &one], 0.1).await.unwrap(), None);
        assert_eq!(redis.bzpopmin(&gone, 0.1).await.unwrap(), None);
        let answers = async {
            for round in 0..ROUNDS {
                let question = other.brpop(&one, 30.0).await.unwrap().unwrap();
                assert_eq!(question, [one.clone(), round.to_string()]);
                other.lpush(&two, format!("answer {round}")).await.unwrap();
            }
        };
        let questions = async {
            for round in 0..ROUNDS {
                redis.rpush(&one, round).await.unwrap();
                let answer = redis.blpop(&two, 30.0).await.unwrap().unwrap();
                assert_eq!(answer, [two.clone(), format!("answer {round}")]);
            }
        };
        tokio::join!(answers, questions);
    }

    /// A wait for what the same connection has written before.
    pub(super) async fn replicas(&self) {
        let mut redis = self.open().await;
        let _: () = redis.set(self.key("written"), 1).await.unwrap();
        assert_eq!(ask::<i64>(&mut redis, &["WAIT", "0", "1"]).await, 0);
    }

    pub(super) async fn databases(&self) {
        let mut redis = self.open().await;
        let mut there = self.open_with(OTHER_DATABASE, patient()).await;
        let key = self.key("in a database");
        redis.set(&key, "zero").await.unwrap();
        assert_eq!(there.get(&key).await.unwrap(), None);
        ask::<()>(&mut redis, &["SELECT", "1"]).await;
        redis.set(&key, "one").await.unwrap();
        assert_eq!(there.get(&key).await.unwrap().unwrap(), "one");
        assert_eq!(refused(&mut redis, &["SELECT", "1000000"]).await, "ERR");
        ask::<()>(&mut redis, &["SELECT", "0"]).await;
        assert_eq!(redis.get(&key).await.unwrap().unwrap(), "zero");
    }

    pub(super) async fn names(&self) {
        let mut redis = self.open().await;
        let name = self.prefix.trim_end_matches(':');
        redis.client_setname(name).await.unwrap();
        assert_eq!(redis.client_getname().await.unwrap().unwrap(), name);
        assert_eq!(
            refused(&mut redis, &["CLIENT", "SETNAME", "a b"]).await,
            "ERR"
        );
        assert_eq!(ask::<String>(&mut redis, &["PING"]).await, "PONG");
    }

    pub(super) async fn login(&self) {
        let mut redis = self.open().await;
        let Some((user, password)) = &self.options.login else {
            assert_eq!(refused(&mut redis, &["AUTH", "wrong"]).await, "ERR");
            return;
        };
        assert_eq!(
            refused(&mut redis, &["AUTH", user, "wrong"]).await,
            "WRONGPASS"
        );
        assert_eq!(&ask::<String>(&mut redis, &["ACL", "WHOAMI"]).await, user);
        ask::<()>(&mut redis, &["AUTH", user, password]).await;
        let client = self.client(0, Some("wrong"));
        let opened = client
            .get_multiplexed_async_connection_with_config(&patient())
            .await;
        assert!(opened.is_err(), "a wrong password was taken");
    }

    /// On a connection of their own, in either version of the protocol.
    pub(super) async fn channels(&self) {
        let mut redis = self.open().await;
        let [news, sport, pattern] = ["news", "sport", "s*"].map(|name| self.key(name));
        let mut subscribed = self.client(0, None).get_async_pubsub().await.unwrap();
        subscribed.subscribe(&[&news, &sport]).await.unwrap();
        subscribed.psubscribe(&pattern).await.unwrap();
        assert_eq!(redis.publish(&news, "a").await.unwrap(), 1);
        assert_eq!(redis.publish(&sport, "b").await.unwrap(), 2);
        for number in 0..1000 {
            redis.publish(&news, number).await.unwrap();
        }
        let heard: Vec<_> =
            tokio::time::timeout(PATIENCE, subscribed.on_message().take(1003).collect())
                .await
                .unwrap();
        let said = |at: usize| {
            let message: &redis::Msg = &heard[at];
            (
                message.get_channel_name().to_string(),
                message.from_pattern(),
                message.get_payload::<String>().unwrap(),
            )
        };
        assert_eq!(said(0), (news.clone(), false, "a".to_string()));
        assert_eq!(said(1), (sport.clone(), false, "b".to_string()));
        assert_eq!(said(2), (sport.clone(), true, "b".to_string()));
        for number in 0..1000 {
            assert_eq!(said(3 + number), (news.clone(), false, number.to_string()));
        }
        subscribed.unsubscribe(&[&news, &sport]).await.unwrap();
        subscribed.punsubscribe(&pattern).await.unwrap();
        assert_eq!(redis.publish(&news, "c").await.unwrap(), 0);
        subscribed.subscribe(&sport).await.unwrap();
        assert_eq!(redis.publish(&sport, "d").await.unwrap(), 1);
    }

    /// Between the replies of a connection that goes on asking: version 3 alone.
    pub(super) async fn pushed_channels(&self) {
        let (send, mut pushes) = unbounded_channel();
        let mut redis = self.open_with(0, patient().set_push_sender(send)).await;
        let channel = self.key("pushed");
        redis.subscribe(&channel).await.unwrap();
        assert_eq!(next(&mut pushes).await.kind, PushKind::Subscribe);
        for number in 0..100 {
            assert_eq!(redis.publish(&channel, number).await.unwrap(), 1);
            let push = next(&mut pushes).await;
            let said = Value::BulkString(number.to_string().into_bytes());
            assert_eq!((push.kind, &push.data[1]), (PushKind::Message, &said));
        }
        redis.unsubscribe(&channel).await.unwrap();
        assert_eq!(next(&mut pushes).await.kind, PushKind::Unsubscribe);
        assert_eq!(redis.publish(&channel, "a").await.unwrap(), 0);
    }

    pub(super) async fn tracking(&self) {
        let (send, mut pushes) = unbounded_channel();
        let mut redis = self.open_with(0, patient().set_push_sender(send)).await;
        let mut other = self.open().await;
        let key = self.key("tracked");
        ask::<()>(&mut redis, &["CLIENT", "TRACKING", "ON"]).await;
        assert_eq!(redis.get(&key).await.unwrap(), None);
        other.set(&key, "a").await.unwrap();
        let push = next(&mut pushes).await;
        let keys = Value::Array(vec![Value::BulkString(key.clone().into_bytes())]);
        assert_eq!((push.kind, push.data), (PushKind::Invalidate, vec![keys]));
        assert_eq!(redis.get(&key).await.unwrap().unwrap(), "a");
    }

    /// The driver's own cache, which it has for version 3 alone.
    pub(super) async fn cached(&self) {
        let config = patient().set_cache_config(CacheConfig::new());
        let mut redis = self.open_with(0, config).await;
        let mut other = self.open().await;
        let key = self.key("cached");
        other.set(&key, "a").await.unwrap();
        for _ in 0..100 {
            assert_eq!(redis.get(&key).await.unwrap().unwrap(), "a");
        }
        let seen = redis.get_cache_statistics().unwrap();
        assert_eq!((seen.hit, seen.miss, seen.invalidate), (99, 1, 0));
        other.set(&key, "b").await.unwrap();
        // Nothing else than the server's word lets the driver ask again.
        let deadline = Instant::now() + PATIENCE;
        while redis.get(&key).await.unwrap().unwrap() != "b" {
            assert!(
                Instant::now() < deadline,
                "the driver never heard of a change"
            );
            tokio::task::yield_now().await;
        }
        let seen = redis.get_cache_statistics().unwrap();
        assert_eq!((seen.miss, seen.invalidate), (2, 1));
    }

    /// The driver without async: a transaction that is tried again, a wait, and a subscription.
    pub(super) async fn without_async(&self) {
        let client = self.client(0, None);
        let (mut redis, mut other) = (
            client.get_connection().unwrap(),
            client.get_connection().unwrap(),
        );
        let key = self.key("sync");
        Cmd::set(&key, 1).exec(&mut redis).unwrap();
        let mut tries = 0;
        let (found,): (i64,) = redis::transaction(&mut redis, &[&key], |redis, pipe| {
            tries += 1;
            let before: i64 = Cmd::get(&key).query(redis)?;
            if tries == 1 {
                Cmd::set(&key, 10).exec(&mut other)?;
            }
            pipe.set(&key, before + 1).ignore().get(&key).query(redis)
        })
        .unwrap();
        assert_eq!((found, tries), (11, 2));
        let nothing: Option<(String, String)> =
            Cmd::blpop(self.key("gone"), 0.1).query(&mut redis).unwrap();
        assert_eq!(nothing, None);
        let mut subscribed = redis.as_pubsub();
        subscribed.set_read_timeout(Some(PATIENCE)).unwrap();
        subscribed.subscribe(&key).unwrap();
        assert_eq!(Cmd::publish(&key, "a").query::<i64>(&mut other).unwrap(), 1);
        assert_eq!(
            subscribed
                .get_message()
                .unwrap()
                .get_payload::<String>()
                .unwrap(),
            "a"
        );
        subscribed.unsubscribe(&key).unwrap();
        drop(subscribed);
        assert_eq!(Cmd::get(&key).query::<i64>(&mut redis).unwrap(), 11);
    }
}

async fn next(pushes: &mut UnboundedReceiver<PushInfo>) -> PushInfo {
    let push = tokio::time::timeout(PATIENCE, pushes.recv()).await;
    push.unwrap().unwrap()
}
