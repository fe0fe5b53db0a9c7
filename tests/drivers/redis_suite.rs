//! What an application does with the `redis` crate, each feature once: the same list as `redis/suite.py`, but for shard
//! channels, MONITOR and commands without a reply, which this driver has no way to say.

#[path = "redis/counted.rs"]
mod counted;
#[path = "redis/sessions.rs"]
mod sessions;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use futures_util::future::join_all;
use redis::aio::MultiplexedConnection as Connection;
use redis::streams::StreamReadOptions;
use redis::{
    AsyncConnectionConfig, AsyncTypedCommands, Client, Cmd, FromRedisValue, IntoConnectionInfo,
    ProtocolVersion, RedisConnectionInfo, RedisError, Value, pipe,
};
use serde_json::json;

use counted::Counted;
use sessions::OTHER_DATABASE;

const PATIENCE: Duration = Duration::from_secs(60);
const PIPELINED: usize = 10_000;
const MEGABYTE: usize = 1 << 20;

/// How the suite is run.
#[derive(Clone, Debug)]
pub struct Options {
    pub protocol: ProtocolVersion,
    /// A user of the server's ACL, and the password.
    pub login: Option<(String, String)>,
    /// The size of the largest value.
    pub big_mb: usize,
}

impl Options {
    pub fn of(protocol: ProtocolVersion) -> Self {
        Self {
            protocol,
            login: None,
            big_mb: 512,
        }
    }
}

/// Where the suite runs, and its own part of what is kept there.
struct Suite {
    address: SocketAddr,
    options: Options,
    prefix: String,
}

/// As [`run`], to its end.
pub fn run_to_its_end(address: SocketAddr, options: &Options) -> serde_json::Value {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(address, options))
}

/// Runs all of it, and returns how many commands of each kind were sent. Any number of them may run against one server at
/// the same time: each keeps to keys of its own.
async fn run(address: SocketAddr, options: &Options) -> serde_json::Value {
    let counted = Counted::default();
    let suite = Suite {
        address: counted.relay_to(address),
        options: options.clone(),
        prefix: unique_prefix(),
    };
    let mut features = Vec::new();
    macro_rules! feature {
        ($name:ident) => {
            Box::pin(suite.$name()).await;
            features.push(stringify!($name));
        };
    }
    feature!(strings);
    feature!(collections);
    feature!(streams);
    feature!(scan);
    feature!(errors);
    feature!(pipelines);
    feature!(big_values);
    feature!(transactions);
    feature!(scripts);
    feature!(blocking);
    feature!(replicas);
    feature!(databases);
    feature!(names);
    feature!(login);
    feature!(channels);
    feature!(without_async);
    if options.protocol != ProtocolVersion::RESP2 {
        feature!(pushed_channels);
        feature!(tracking);
        feature!(cached);
    }
    suite.clean_up().await;
    json!({"commands": counted.commands(), "connections": counted.connections(), "features": features})
}

fn unique_prefix() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("rs{:x}_{}_{number}:", now.as_nanos(), std::process::id())
}

impl Suite {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn client(&self, database: i64, password: Option<&str>) -> Client {
        let mut settings = RedisConnectionInfo::default()
            .set_protocol(self.options.protocol)
            .set_db(database);
        if let Some((user, its_own)) = &self.options.login {
            settings = settings
                .set_username(user)
                .set_password(password.unwrap_or(its_own));
        }
        let address = (self.address.ip().to_string(), self.address.port());
        let info = address.into_connection_info().unwrap();
        Client::open(info.set_redis_settings(settings)).unwrap()
    }

    async fn open(&self) -> Connection {
        self.open_with(0, patient()).await
    }

    async fn open_with(&self, database: i64, config: AsyncConnectionConfig) -> Connection {
        let client = self.client(database, None);
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        opened.await.unwrap()
    }

    async fn strings(&self) {
        let mut redis = self.open().await;
        let [key, other, gone] = ["string", "other", "gone"].map(|name| self.key(name));
        redis.set(&key, "a").await.unwrap();
        assert!(!redis.set_nx(&key, "b").await.unwrap());
        assert_eq!(redis.get(&key).await.unwrap().unwrap(), "a");
        assert_eq!(redis.get(&gone).await.unwrap(), None);
        assert_eq!(redis.append(&key, "bc").await.unwrap(), 3);
        assert_eq!(redis.getrange(&key, 1, -1).await.unwrap(), "bc");
        redis.mset(&[(&key, 1), (&other, 2)]).await.unwrap();
        let several = redis.mget(&[&key, &gone, &other]).await.unwrap();
        assert_eq!(several, [Some("1".into()), None, Some("2".into())]);
        assert_eq!(redis.incr(&key, 41).await.unwrap(), 42);
        assert!(redis.expire(&key, 100).await.unwrap());
        assert!(redis.persist(&key).await.unwrap());
        assert_eq!(redis.del(&[key.clone(), gone]).await.unwrap(), 1);
        for value in [
            (0..=255).collect(),
            b"$5\r\n*1\r\n-ERR\r\n".to_vec(),
            Vec::new(),
        ] {
            redis.set(&key, &value).await.unwrap();
            assert_eq!(ask::<Vec<u8>>(&mut redis, &["GET", &key]).await, value);
        }
    }

    async fn collections(&self) {
        let mut redis = self.open().await;
        let [hash, list, set, sorted] = ["h", "l", "s", "z"].map(|name| self.key(name));
        redis
            .hset_multiple(&hash, &[("a", 1), ("b", 2)])
            .await
            .unwrap();
        let all = HashMap::from([("a".to_string(), "1".to_string()), ("b".into(), "2".into())]);
        assert_eq!(redis.hgetall(&hash).await.unwrap(), all);
        assert_eq!(redis.hget(&hash, "z").await.unwrap(), None);
        assert_eq!(redis.hdel(&hash, &["a", "z"]).await.unwrap(), 1);

        let many: Vec<usize> = (0..5000).collect();
        assert_eq!(redis.rpush(&list, &many).await.unwrap(), 5000);
        let strings: Vec<String> = many.iter().map(ToString::to_string).collect();
        assert_eq!(redis.lrange(&list, 0, -1).await.unwrap(), strings);
        let popped: Option<String> = ask(&mut redis, &["LPOP", &list]).await;
        assert_eq!(popped.unwrap(), "0");
        let of_nothing: Option<String> = ask(&mut redis, &["LPOP", &self.key("gone")]).await;
        assert_eq!(of_nothing, None);

        assert_eq!(redis.sadd(&set, &["a", "b", "c"]).await.unwrap(), 3);
        assert_eq!(redis.smembers(&set).await.unwrap().len(), 3);
        assert!(redis.sismember(&set, "a").await.unwrap());
        assert_eq!(redis.srem(&set, &["a", "z"]).await.unwrap(), 1);

        let scores = [(1.0, "a"), (2.0, "b"), (3.5, "c")];
        assert_eq!(redis.zadd_multiple(&sorted, &scores).await.unwrap(), 3);
        assert_eq!(redis.zscore(&sorted, "c").await.unwrap(), Some(3.5));
        assert_eq!(redis.zscore(&sorted, "z").await.unwrap(), None);
        let range = redis.zrange_withscores(&sorted, 0, 1).await.unwrap();
        assert_eq!(range, [("a".to_string(), 1.0), ("b".to_string(), 2.0)]);
    }

    async fn streams(&self) {
        let (mut redis, mut other) = (self.open().await, self.open().await);
        let (key, empty) = (self.key("stream"), self.key("other stream"));
        for id in ["1-0", "2-0", "3-0"] {
            let added = redis.xadd(&key, id, &[("n", id)]).await.unwrap();
            assert_eq!(added.unwrap(), id);
        }
        let read = redis.xread(&[&key], &["1-0"]).await.unwrap().unwrap();
        let ids: Vec<_> = read.keys[0]
            .ids
            .iter()
            .map(|each| each.id.clone())
            .collect();
        assert_eq!(ids, ["2-0", "3-0"]);
        let waits = StreamReadOptions::default().block(100);
        let read = redis.xread_options(&[&key], &["$"], &waits).await.unwrap();
        assert!(read.is_none(), "XREAD BLOCK was served: {read:?}");
        let waits = StreamReadOptions::default().block(30_000);
        let (read, added) = tokio::join!(
            async { redis.xread_options(&[&empty], &["0"], &waits).await },
            other.xadd(&empty, "7-1", &[("a", "b")])
        );
        assert_eq!(added.unwrap().unwrap(), "7-1");
        assert_eq!(read.unwrap().unwrap().keys[0].ids[0].id, "7-1");

        redis.xgroup_create_mkstream(&key, "g", "0").await.unwrap();
        let busy = redis.xgroup_create(&key, "g", "0").await.unwrap_err();
        assert_eq!(busy.code(), Some("BUSYGROUP"));
        let group = || StreamReadOptions::default().group("g", "ann");
        let first = group().count(2);
        let read = redis.xread_options(&[&key], &[">"], &first).await.unwrap();
        assert_eq!(read.unwrap().keys[0].ids.len(), 2);
        assert_eq!(redis.xack(&key, "g", &["1-0", "9-0"]).await.unwrap(), 1);
        let own = redis
            .xread_options(&[&key], &["0"], &group())
            .await
            .unwrap();
        assert_eq!(own.unwrap().keys[0].ids[0].id, "2-0");
        redis
            .xread_options(&[&key], &[">"], &group())
            .await
            .unwrap();
        let waits = group().block(100);
        let read = redis.xread_options(&[&key], &[">"], &waits).await.unwrap();
        assert!(read.is_none(), "XREADGROUP BLOCK was served: {read:?}");
        let waits = group().block(30_000);
        let (read, added) = tokio::join!(
            async { redis.xread_options(&[&key], &[">"], &waits).await },
            other.xadd(&key, "5-0", &[("a", "b")])
        );
        assert_eq!(added.unwrap().unwrap(), "5-0");
        assert_eq!(read.unwrap().unwrap().keys[0].ids[0].id, "5-0");
    }

    async fn scan(&self) {
        let mut redis = self.open().await;
        let mine: BTreeSet<String> = (0..500).map(|n| self.key(&format!("scan:{n}"))).collect();
        for key in &mine {
            redis.set(key, "x").await.unwrap();
        }
        let found = self.keys(&mut redis, "scan:*").await;
        assert_eq!(found, mine);
    }

    async fn keys(&self, redis: &mut Connection, pattern: &str) -> BTreeSet<String> {
        let found = redis.scan_match::<_, String>(self.key(pattern)).await;
        let found: Vec<_> = found.unwrap().collect().await;
        found.into_iter().map(Result::unwrap).collect()
    }

    async fn errors(&self) {
        let mut redis = self.open().await;
        let key = self.key("wrong");
        redis.set(&key, "text").await.unwrap();
        assert_eq!(
            refused(&mut redis, &["LPUSH", &key, "a"]).await,
            "WRONGTYPE"
        );
        assert_eq!(refused(&mut redis, &["INCR", &key]).await, "ERR");
        assert_eq!(refused(&mut redis, &["NOSUCHCOMMAND", &key]).await, "ERR");
        assert_eq!(refused(&mut redis, &["GET"]).await, "ERR");
        let mut pipe = pipe();
        pipe.get(&key).lpush(&key, "a").get(&key).ignore_errors();
        let replies: Vec<Value> = pipe.query_async(&mut redis).await.unwrap();
        assert_eq!(replies[0], Value::BulkString(b"text".to_vec()));
        assert!(matches!(&replies[1], Value::ServerError(error) if error.code() == "WRONGTYPE"));
        assert_eq!(replies[2], Value::BulkString(b"text".to_vec()));
    }

    async fn pipelines(&self) {
        let mut redis = self.open().await;
        let (count, queued) = (self.key("count"), self.key("queued"));
        let mut pipe = pipe();
        for number in 0..PIPELINED / 2 {
            let key = self.key(&format!("pipe:{}", number % 100));
            pipe.set(&key, number).ignore().get(key);
        }
        let found: Vec<usize> = pipe.query_async(&mut redis).await.unwrap();
        assert_eq!(found, (0..PIPELINED / 2).collect::<Vec<_>>());
        let mut transaction = redis::pipe();
        transaction.atomic();
        for number in 0..PIPELINED {
            transaction.rpush(&queued, number);
        }
        let found: Vec<usize> = transaction.query_async(&mut redis).await.unwrap();
        assert_eq!(found, (1..=PIPELINED).collect::<Vec<_>>());
        // Many callers on one connection, none of which waits for another.
        let callers = (0..1000).map(|_| {
            let mut redis = redis.clone();
            let count = &count;
            async move { redis.incr(count, 1).await.unwrap() }
        });
        let found: BTreeSet<isize> = join_all(callers).await.into_iter().collect();
        assert_eq!(found, (1..=1000).collect());
    }

    async fn big_values(&self) {
        let mut redis = self.open().await;
        let key = self.key("big");
        let block: Vec<u8> = (0..MEGABYTE).map(|at| (at * at / 7) as u8).collect();
        let mut value = block.repeat(self.options.big_mb);
        for (number, block) in (0_u32..).zip(value.chunks_mut(MEGABYTE)) {
            block[..4].copy_from_slice(&number.to_be_bytes());
        }
        redis.set(&key, &value).await.unwrap();
        assert_eq!(redis.strlen(&key).await.unwrap(), value.len());
        let found: Vec<u8> = ask(&mut redis, &["GET", &key]).await;
        assert!(found == value, "{} bytes are not what was set", found.len());
        redis.set(&key, "small").await.unwrap();
        assert_eq!(redis.get(&key).await.unwrap().unwrap(), "small");
    }

    async fn clean_up(&self) {
        for database in [0, OTHER_DATABASE] {
            let mut redis = self.open_with(database, patient()).await;
            for key in self.keys(&mut redis, "*").await {
                redis.unlink(key).await.unwrap();
            }
        }
    }
}

/// The driver gives up on a reply after half a second, unless it is told otherwise.
fn patient() -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE))
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(word);
    }
    command
}

async fn ask<T: FromRedisValue>(redis: &mut Connection, words: &[&str]) -> T {
    let reply = command(words).query_async(redis).await;
    reply.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// The code of the error, which there has to be.
async fn refused(redis: &mut Connection, words: &[&str]) -> String {
    let error: RedisError = match command(words).query_async::<Value>(redis).await {
        Ok(reply) => panic!("{words:?}: {reply:?}"),
        Err(error) => error,
    };
    error.code().unwrap().to_string()
}
