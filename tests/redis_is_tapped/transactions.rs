//! MULTI to EXEC, and WATCH.

use crate::script::{Script, run, run_blind};
use crate::support::redis::Redis;
use crate::support::resp::Value;
use crate::tapped::Tapped;

#[test]
fn a_transaction_answers_once_for_each_command_and_once_for_all() {
    let scripts = [
        (
            "MULTI\nSET k v\nGET k\nEXEC\nGET k",
            5,
            "multi 1, set 1, get 2, exec 1",
            "",
        ),
        (
            "MULTI\nSET k v\nDISCARD\nGET k",
            4,
            "multi 1, set 1, discard 1, get 1",
            "",
        ),
        (
            "EXEC\nDISCARD\nPING",
            3,
            "exec 1 1, discard 1 1, ping 1",
            "",
        ),
        (
            "MULTI\nMULTI\nPING\nEXEC\nPING",
            5,
            "multi 2 1, ping 2, exec 1",
            "",
        ),
        (
            "MULTI\nNOSUCH a\nPING\nEXEC\nGET k",
            5,
            "multi 1, nosuch 1 1, ping 1, exec 1 1, get 1",
            "error_prefix.EXECABORT.total 1",
        ),
        // Whatever EXEC is refused for, nothing is left of the transaction.
        (
            "MULTI\nPING\nEXEC x\nSUBSCRIBE a b",
            5,
            "multi 1, ping 1, exec 1 1, subscribe 1",
            "error_prefix.EXECABORT.total 1",
        ),
        (
            "MULTI\nDISCARD x\nPING\nEXEC\nPING",
            5,
            "multi 1, discard 1 1, ping 2, exec 1 1",
            "",
        ),
        ("MULTI x\nPING\nEXEC", 3, "multi 1 1, ping 1, exec 1 1", ""),
        (
            "MULTI\nWATCH k\nPING\nEXEC",
            4,
            "multi 1, watch 1 1, ping 1, exec 1",
            "",
        ),
        (
            "WATCH k\nUNWATCH\nWATCH k\nMULTI\nUNWATCH\nEXEC",
            6,
            "watch 2, unwatch 2, multi 1, exec 1",
            "",
        ),
        (
            "MULTI\nPING\nRESET\nPING\nEXEC",
            5,
            "multi 1, ping 2, reset 1, exec 1 1",
            "",
        ),
        ("MULTI\nPING\nQUIT", 3, "multi 1, ping 1, quit 1", ""),
        // What fails within it fails in the reply to EXEC, which itself does not.
        (
            "MULTI\nSET k v\nINCR k\nEXEC",
            4,
            "multi 1, set 1, incr 1, exec 1",
            "reply.error.total 0",
        ),
        (
            "MULTI\nSUBSCRIBE\nPING\nEXEC",
            4,
            "multi 1, subscribe 1 1, ping 1, exec 1 1",
            "",
        ),
        // In a transaction nothing waits.
        (
            "MULTI\nBLPOP none 0\nXREAD BLOCK 0 STREAMS none $\nEXEC",
            4,
            "multi 1, blpop 1, xread 1, exec 1",
            "blocked 0",
        ),
        (
            "MULTI\nBLPOP none x\nDISCARD",
            3,
            "multi 1, blpop 1, discard 1",
            "blocked 0",
        ),
        (
            "HELLO 3\nMULTI\nHGETALL none\nEXEC\nPING",
            5,
            "hello 1, multi 1, hgetall 1, exec 1, ping 1",
            "",
        ),
    ];
    let scripts = scripts.map(|(says, values, counts, also)| Script {
        says,
        values,
        counts,
        also,
    });
    run(&Redis::start(), &scripts);
}

#[test]
fn a_key_that_changes_makes_the_transaction_nothing() {
    for version in [2, 3] {
        let tapped = Tapped::start();
        let (mut one, nothing) = match version {
            2 => (tapped.client(), Value::NilArray),
            _ => (tapped.client_resp3(), Value::Null),
        };
        one.command(&["WATCH", "k"]);
        tapped.client().command(&["SET", "k", "other"]);
        one.send_raw(&crate::script::commands(
            "MULTI\nGET k\nSUBSCRIBE a\nEXEC\nGET k",
        ));
        let replies: Vec<Value> = (0..5).map(|_| one.next()).collect();
        assert_eq!(replies[3], nothing);
        assert_eq!(replies[4], Value::bulk("other"), "it never was subscribed");
        drop(one);
        tapped
            .closed(if version == 2 { 7 } else { 8 })
            .expect("redis.redis.command.get.total", 2)
            .expect("redis.redis.command.exec.success", 1)
            .expect("redis.redis.error", 0);
    }
}

/// What is queued may change which replies come, in the middle of the reply to EXEC.
#[test]
fn a_transaction_that_changes_its_connection_is_not_followed() {
    let redis = Redis::start();
    run_blind(
        &redis,
        &[
            (
                "MULTI\nSUBSCRIBE a b\nUNSUBSCRIBE\nEXEC\nPING",
                7,
                "state_in_transaction",
            ),
            (
                "MULTI\nSUBSCRIBE a\nEXEC\nPING",
                5 - 1,
                "state_in_transaction",
            ),
            ("HELLO 3\nMULTI\nSUBSCRIBE a\nEXEC\nPING", 5, "resp_type"),
            ("MULTI\nHELLO 3\nEXEC\nPING", 4, "state_in_transaction"),
            (
                "MULTI\nCLIENT REPLY SKIP\nEXEC\nPING\nPING\nPING",
                4,
                "state_in_transaction",
            ),
            // A message to itself, in front of the reply to PUBLISH.
            (
                "HELLO 3\nSUBSCRIBE a\nMULTI\nPUBLISH a y\nEXEC\nPING",
                6 + 1,
                "resp_type",
            ),
        ],
    );
    // Refused in a transaction, or not carried out.
    run(
        &redis,
        &[
            Script {
                says: "MULTI\nSUBSCRIBE a\nCLIENT REPLY OFF\nDISCARD\nPING",
                values: 5,
                counts: "multi 1, subscribe 1, client_reply 1, discard 1, ping 1",
                also: "subscribed 0",
            },
            Script {
                says: "MULTI\nSUBSCRIBE a\nNOSUCH\nEXEC\nMULTI\nPING\nEXEC",
                values: 7,
                counts: "multi 2, subscribe 1, nosuch 1 1, exec 2 1, ping 1",
                also: "",
            },
        ],
    );
}
