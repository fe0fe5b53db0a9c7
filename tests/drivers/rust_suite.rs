//! What an application does with the Rust driver, each feature once: the same list as `collapse/suite.py`, but for
//! unacknowledged writes and snapshot sessions, which this driver's suite leaves to the others: it has no `w: 0`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::{AsyncReadExt, AsyncWriteExt, TryStreamExt};
use mongodb::bson::{Document, doc};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::command::CommandEvent;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, FullDocumentType};
use mongodb::{Client, ClientSession, Collection, Database};
use serde_json::{Value, json};

const DUPLICATE_KEY: i32 = 11000;
const COMMAND_NOT_FOUND: i32 = 59;
const BAD_VALUE: i32 = 2;
const WRITE_CONFLICT: i32 = 112;
const HOST_UNREACHABLE: i32 = 6;

/// Several chunks of 255 KiB.
const FILE_BYTES: usize = 5_000_000;

/// What a client's events tell.
#[derive(Clone, Default)]
pub struct Counted {
    counts: Arc<Mutex<BTreeMap<String, i64>>>,
}

impl Counted {
    fn count(&self, name: &str) {
        let mut counts = self.counts.lock().unwrap();
        *counts.entry(name.to_string()).or_default() += 1;
    }

    pub fn of(&self, name: &str) -> i64 {
        self.counts.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// What was sent, by command.
    fn commands(&self) -> Value {
        let counts = self.counts.lock().unwrap();
        let commands = counts.iter().filter_map(|(name, count)| {
            let name = name.strip_prefix("command ")?;
            Some((name.to_string(), json!(count)))
        });
        Value::Object(commands.collect())
    }

    /// A client whose events are counted here.
    pub async fn client(&self, address: &str, options: &str, pool: Option<u32>) -> Client {
        let uri = format!("mongodb://{address}/?{options}");
        let mut settings = ClientOptions::parse(uri).await.unwrap();
        settings.max_pool_size = pool;
        settings.heartbeat_freq = Some(Duration::from_millis(500));
        settings.server_selection_timeout = Some(Duration::from_secs(30));
        let this = self.clone();
        settings.command_event_handler = Some(EventHandler::callback(move |event| {
            if let CommandEvent::Started(event) = event {
                this.count(&format!("command {}", event.command_name));
            }
        }));
        let this = self.clone();
        settings.cmap_event_handler = Some(EventHandler::callback(move |event| match event {
            CmapEvent::PoolCleared(_) => this.count("cleared"),
            CmapEvent::ConnectionCreated(_) => this.count("created"),
            _ => {}
        }));
        let this = self.clone();
        settings.sdam_event_handler = Some(EventHandler::callback(move |event| match event {
            SdamEvent::ServerHeartbeatFailed(_) => this.count("failed heartbeats"),
            SdamEvent::ServerHeartbeatSucceeded(event) if event.awaited => {
                this.count("awaited heartbeats");
            }
            _ => {}
        }));
        Client::with_options(settings).unwrap()
    }
}

/// Runs all of it, and returns how many commands of each kind were sent.
pub async fn run(address: &str, options: &str, through_proxy: bool) -> Value {
    let counted = Counted::default();
    let client = counted.client(address, options, None).await;
    let suite = client.database("suite");
    suite.drop().await.unwrap();
    crud(&suite).await;
    bulk(&suite).await;
    cursors(&suite).await;
    sessions(&client, &suite).await;
    retryable_writes(&client, &suite, through_proxy).await;
    transactions(&client, &suite).await;
    change_streams(&client, &suite).await;
    grid_fs(&suite).await;
    aggregation(&suite).await;
    errors(&suite).await;
    monitoring(&counted, !options.contains("loadBalanced"), through_proxy).await;
    drop(suite);
    client.shutdown().await;
    json!({"commands": counted.commands()})
}

async fn crud(suite: &Database) {
    let carts = suite.collection::<Document>("carts");
    carts
        .insert_one(doc! {"_id": 0, "user": "a"})
        .await
        .unwrap();
    let many = (1..50).map(|n| doc! {"_id": n, "user": if n % 2 == 0 { "a" } else { "b" }});
    carts.insert_many(many).await.unwrap();
    let found = carts.find_one(doc! {"_id": 7}).await.unwrap().unwrap();
    assert_eq!(found.get_str("user").unwrap(), "b");
    let raise = doc! {"$inc": {"total": 1}};
    let raised = carts.update_many(doc! {"user": "b"}, raise.clone()).await;
    assert_eq!(raised.unwrap().modified_count, 25);
    let upsert = carts.update_one(doc! {"_id": 99}, raise.clone());
    assert!(upsert.upsert(true).await.unwrap().upserted_id.is_some());
    let replaced = carts.replace_one(doc! {"_id": 2}, doc! {"user": "c"}).await;
    assert_eq!(replaced.unwrap().modified_count, 1);
    let found = carts.find_one_and_update(doc! {"_id": 7}, raise).await;
    assert_eq!(found.unwrap().unwrap().get_i32("total").unwrap(), 1);
    let deleted = carts.delete_one(doc! {"_id": 99}).await.unwrap();
    assert_eq!(deleted.deleted_count, 1);
    assert_eq!(carts.count_documents(doc! {}).await.unwrap(), 50);
    assert_eq!(carts.distinct("user", doc! {}).await.unwrap().len(), 3);
    let collections = suite.list_collection_names().await.unwrap();
    assert!(collections.contains(&"carts".to_string()));
}

/// The driver's own bulk writes are for servers of version 8: many writes in one command are the nearest to them.
async fn bulk(suite: &Database) {
    let stock = suite.collection::<Document>("stock");
    let many = (0..3000).map(|n| doc! {"_id": n, "text": "x".repeat(2000)});
    stock.insert_many(many).await.unwrap();
    let again = [doc! {"_id": 1}, doc! {"_id": 9000}];
    let error = stock.insert_many(again).ordered(false).await.unwrap_err();
    assert_eq!(code_of(&error), Some(DUPLICATE_KEY));
    let deleted = stock.delete_many(doc! {"_id": {"$gte": 2900}}).await;
    assert_eq!(deleted.unwrap().deleted_count, 101);
}

async fn cursors(suite: &Database) {
    let numbers = suite.collection::<Document>("numbers");
    let many = (0..500).map(|n| doc! {"_id": n});
    numbers.insert_many(many).await.unwrap();
    assert_eq!(
        ids(&numbers, doc! {}, 3).await,
        (0..500).collect::<Vec<_>>()
    );
    // More of them at the same time than the proxy has connections.
    let rest_of_16 = (0..16).map(|rest| ids(&numbers, doc! {"_id": {"$mod": [16, rest]}}, 2));
    let found = futures_util::future::join_all(rest_of_16).await;
    for (rest, found) in (0..).zip(found) {
        assert_eq!(found, (rest..500).step_by(16).collect::<Vec<_>>());
    }
    let mut given_up = numbers.find(doc! {}).batch_size(2).await.unwrap();
    assert!(given_up.advance().await.unwrap());
}

async fn ids(collection: &Collection<Document>, filter: Document, batch: u32) -> Vec<i32> {
    let cursor = collection.find(filter).sort(doc! {"_id": 1});
    let cursor = cursor.batch_size(batch).await.unwrap();
    let found: Vec<Document> = cursor.try_collect().await.unwrap();
    let id = |each: &Document| each.get_i32("_id").unwrap();
    found.iter().map(id).collect()
}

async fn sessions(client: &Client, suite: &Database) {
    let notes = suite.collection::<Document>("notes");
    let mut session = client
        .start_session()
        .causal_consistency(true)
        .await
        .unwrap();
    for number in 0..20 {
        let insert = notes.insert_one(doc! {"_id": number});
        insert.session(&mut session).await.unwrap();
        let found = notes
            .find_one(doc! {"_id": number})
            .session(&mut session)
            .await;
        assert!(found.unwrap().is_some());
    }
    let find = notes.find(doc! {}).batch_size(4).session(&mut session);
    let mut cursor = find.await.unwrap();
    let mut seen = 0;
    while cursor.advance(&mut session).await.unwrap() {
        seen += 1;
    }
    assert_eq!(seen, 20);
}

async fn retryable_writes(client: &Client, suite: &Database, through_proxy: bool) {
    let events = suite.collection::<Document>("events");
    events.insert_one(doc! {"_id": "first"}).await.unwrap();
    let label = doc! {"errorCode": HOST_UNREACHABLE, "errorLabels": ["RetryableWriteError"]};
    fail_once(client, "insert", label).await;
    events.insert_one(doc! {"_id": "retried"}).await.unwrap();
    fail_once(client, "find", doc! {"errorCode": HOST_UNREACHABLE}).await;
    assert!(events.find_one(doc! {}).await.unwrap().is_some());
    if through_proxy {
        // The connection that ends is one between the proxy and the server: the driver's stay.
        fail_once(client, "insert", doc! {"closeConnection": true}).await;
        events.insert_one(doc! {"_id": "lost"}).await.unwrap();
        fail_once(client, "find", doc! {"closeConnection": true}).await;
        assert!(events.find_one(doc! {}).await.unwrap().is_some());
    }
}

/// Lets the server fail the next command of this name.
async fn fail_once(client: &Client, command: &str, how: Document) {
    let mut data = doc! {"failCommands": [command]};
    data.extend(how);
    let fail = doc! {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": data};
    client.database("admin").run_command(fail).await.unwrap();
}

async fn transactions(client: &Client, suite: &Database) {
    let accounts = suite.collection::<Document>("accounts");
    let two = [doc! {"_id": "a", "sum": 100}, doc! {"_id": "b", "sum": 100}];
    accounts.insert_many(two).await.unwrap();
    let mut session = client.start_session().await.unwrap();

    session.start_transaction().await.unwrap();
    transfer(&accounts, &mut session, 10).await.unwrap();
    assert_eq!(sum(&accounts).await, 100, "not seen outside");
    session.commit_transaction().await.unwrap();
    assert_eq!(sum(&accounts).await, 90);
    // A commit may be repeated.
    session.commit_transaction().await.unwrap();

    session.start_transaction().await.unwrap();
    transfer(&accounts, &mut session, 50).await.unwrap();
    session.abort_transaction().await.unwrap();
    assert_eq!(sum(&accounts).await, 90);

    session.start_transaction().await.unwrap();
    transfer(&accounts, &mut session, 50).await.unwrap();
    let insert = accounts.insert_one(doc! {"_id": "a"}).session(&mut session);
    assert_eq!(code_of(&insert.await.unwrap_err()), Some(DUPLICATE_KEY));
    session.abort_transaction().await.unwrap();

    let inside = accounts.clone();
    let whole = session
        .start_transaction()
        .and_run2(async move |session| transfer(&inside, session, 5).await);
    whole.await.unwrap();
    assert_eq!(sum(&accounts).await, 85);
    conflict(client, &accounts).await;
}

async fn transfer(
    accounts: &Collection<Document>,
    session: &mut ClientSession,
    amount: i32,
) -> mongodb::error::Result<()> {
    for (id, amount) in [("a", -amount), ("b", amount)] {
        accounts
            .update_one(doc! {"_id": id}, doc! {"$inc": {"sum": amount}})
            .session(&mut *session)
            .await?;
    }
    Ok(())
}

async fn sum(accounts: &Collection<Document>) -> i32 {
    let found = accounts.find_one(doc! {"_id": "a"}).await.unwrap();
    found.unwrap().get_i32("sum").unwrap()
}

async fn conflict(client: &Client, accounts: &Collection<Document>) {
    let mut winner = client.start_session().await.unwrap();
    let mut loser = client.start_session().await.unwrap();
    winner.start_transaction().await.unwrap();
    transfer(accounts, &mut winner, 1).await.unwrap();
    loser.start_transaction().await.unwrap();
    let error = transfer(accounts, &mut loser, 1).await.unwrap_err();
    assert_eq!(code_of(&error), Some(WRITE_CONFLICT));
    assert!(error.contains_label("TransientTransactionError"));
    loser.abort_transaction().await.unwrap();
    winner.commit_transaction().await.unwrap();
}

async fn change_streams(client: &Client, suite: &Database) {
    suite.create_collection("orders").await.unwrap();
    let orders = suite.collection::<Document>("orders");
    let mut changes = orders.watch().await.unwrap();
    assert!(changes.next_if_any().await.unwrap().is_none());
    for number in 0..3 {
        orders.insert_one(doc! {"_id": number}).await.unwrap();
    }
    for number in 0..2 {
        let change = changes.try_next().await.unwrap().unwrap();
        assert_eq!(change.document_key, Some(doc! {"_id": number}));
    }
    let token = changes.resume_token().unwrap();
    drop(changes);
    orders.insert_one(doc! {"_id": 3}).await.unwrap();
    let resumed = orders.watch().resume_after(token);
    let mut resumed = resumed
        .full_document(FullDocumentType::UpdateLookup)
        .await
        .unwrap();
    for number in 2..4 {
        let change = resumed.try_next().await.unwrap().unwrap();
        assert_eq!(change.document_key, Some(doc! {"_id": number}));
    }
    let (mut of_database, mut of_all) =
        (suite.watch().await.unwrap(), client.watch().await.unwrap());
    orders.insert_one(doc! {"_id": 4}).await.unwrap();
    for each in [&mut of_database, &mut of_all] {
        let change = each.try_next().await.unwrap().unwrap();
        assert_eq!(change.document_key, Some(doc! {"_id": 4}));
    }
}

async fn grid_fs(suite: &Database) {
    let bucket = suite.gridfs_bucket(None);
    let content: Vec<u8> = (0..FILE_BYTES).map(|at| (at * at / 7) as u8).collect();
    let mut upload = bucket.open_upload_stream("film").await.unwrap();
    upload.write_all(&content).await.unwrap();
    upload.close().await.unwrap();
    let id = upload.id().clone();
    let mut found = Vec::new();
    let mut download = bucket.open_download_stream(id).await.unwrap();
    download.read_to_end(&mut found).await.unwrap();
    assert!(found == content, "a file is not what was stored");
}

async fn aggregation(suite: &Database) {
    let sales = suite.collection::<Document>("sales");
    let many = (0..200).map(|n| doc! {"_id": n, "shop": n % 5, "sum": n});
    sales.insert_many(many).await.unwrap();
    let by_shop = doc! {"$group": {"_id": "$shop", "sum": {"$sum": "$sum"}}};
    let merge = doc! {"$merge": {"into": "totals", "whenMatched": "keepExisting"}};
    for last in [doc! {"$out": "totals"}, merge] {
        sales.aggregate([by_shop.clone(), last]).await.unwrap();
        let totals = suite.collection::<Document>("totals");
        assert_eq!(totals.count_documents(doc! {}).await.unwrap(), 5);
    }
}

async fn errors(suite: &Database) {
    let carts = suite.collection::<Document>("carts");
    let twice = carts.insert_one(doc! {"_id": 0}).await.unwrap_err();
    assert_eq!(code_of(&twice), Some(DUPLICATE_KEY));
    let unknown = suite.run_command(doc! {"noSuchCommand": 1}).await;
    assert_eq!(code_of(&unknown.unwrap_err()), Some(COMMAND_NOT_FOUND));
    let bad = carts.find_one(doc! {"$noSuchOperator": 1}).await;
    assert_eq!(code_of(&bad.unwrap_err()), Some(BAD_VALUE));
}

/// The code that the server gave, wherever the driver keeps it.
pub fn code_of(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::InsertMany(error) => Some(error.write_errors.as_ref()?.first()?.code),
        _ => None,
    }
}

async fn monitoring(counted: &Counted, streamed: bool, through_proxy: bool) {
    assert_eq!(counted.of("failed heartbeats"), 0);
    if through_proxy {
        assert_eq!(counted.of("cleared"), 0, "the driver cleared its pool");
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while streamed && counted.of("awaited heartbeats") == 0 {
        assert!(Instant::now() < deadline, "heartbeats are not streamed");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
