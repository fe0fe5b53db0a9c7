//! CLIENT REPLY: requests that get no reply, and those that do all the same.

use crate::script::{Script, run, run_blind};
use crate::support::redis::Redis;

#[test]
fn requests_without_a_reply_are_counted_as_such() {
    let scripts = [
        (
            "CLIENT REPLY OFF\nSET k v\nGET k\nCLIENT REPLY ON\nGET k",
            2,
            "client_reply 2, set 1, get 2",
            "without_reply 3",
        ),
        (
            "CLIENT REPLY SKIP\nSET k v\nGET k",
            1,
            "client_reply 1, set 1, get 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY SKIP\nCLIENT REPLY SKIP\nPING\nPING",
            1,
            "client_reply 2, ping 2",
            "without_reply 3",
        ),
        (
            "CLIENT REPLY SKIP\nPING\nCLIENT REPLY SKIP\nPING\nPING",
            1,
            "client_reply 2, ping 3",
            "without_reply 4",
        ),
        (
            "CLIENT REPLY OFF\nCLIENT REPLY SKIP\nPING\nPING\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 3, ping 3",
            "without_reply 4",
        ),
        (
            "CLIENT REPLY SKIP\nCLIENT REPLY OFF\nPING\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 3, ping 2",
            "without_reply 3",
        ),
        (
            "CLIENT REPLY SKIP\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 2, ping 1",
            "without_reply 1",
        ),
        (
            "CLIENT REPLY ON\nPING",
            2,
            "client_reply 1, ping 1",
            "without_reply 0",
        ),
        (
            "client reply oFf\nPING\nclient RePLY on",
            1,
            "client_reply 2, ping 1",
            "without_reply 2",
        ),
        // Wrong ones do nothing.
        (
            "CLIENT REPLY\nCLIENT REPLY bogus\nCLIENT REPLY OFF x\nPING",
            4,
            "client_reply 3 3, ping 1",
            "without_reply 0",
        ),
        (
            "CLIENT REPLY SKIP\nCLIENT REPLY bogus\nPING",
            1,
            "client_reply 2, ping 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY OFF\nCLIENT REPLY bogus\nNOSUCH\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 3, nosuch 1, ping 1",
            "without_reply 3",
        ),
        // RESET turns replies on first, unless it is skipped.
        (
            "CLIENT REPLY OFF\nPING\nRESET\nPING",
            2,
            "client_reply 1, ping 2, reset 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY SKIP\nRESET\nPING",
            1,
            "client_reply 1, reset 1, ping 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY OFF\nRESET x\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 2, reset 1, ping 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY OFF\nQUIT",
            0,
            "client_reply 1, quit 1",
            "without_reply 2",
        ),
        // Transactions.
        (
            "CLIENT REPLY OFF\nMULTI\nSET k v\nEXEC\nCLIENT REPLY ON\nGET k",
            2,
            "client_reply 2, multi 1, set 1, exec 1, get 1",
            "without_reply 4",
        ),
        (
            "CLIENT REPLY OFF\nMULTI\nSET k v\nCLIENT REPLY ON\nDISCARD\nCLIENT REPLY ON\nGET k",
            2,
            "client_reply 3, multi 1, set 1, discard 1, get 1",
            "without_reply 5",
        ),
        (
            "CLIENT REPLY OFF\nMULTI\nPING\nRESET\nPING",
            2,
            "client_reply 1, multi 1, ping 2, reset 1",
            "without_reply 3",
        ),
        (
            "CLIENT REPLY OFF\nMULTI x\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 2, multi 1, ping 1",
            "without_reply 2",
        ),
        (
            "CLIENT REPLY SKIP\nMULTI\nGET k\nEXEC\nPING",
            3,
            "client_reply 1, multi 1, get 1, exec 1, ping 1",
            "without_reply 2",
        ),
        // What waits may go without a reply too.
        (
            "CLIENT REPLY SKIP\nBLPOP none 0.01\nPING",
            1,
            "client_reply 1, blpop 1, ping 1",
            "without_reply 2, blocked 1",
        ),
        // Subscribers of version 3 get their messages all the same.
        (
            "HELLO 3\nSUBSCRIBE a\nCLIENT REPLY OFF\nPUBLISH a x\nCLIENT REPLY ON\nPING",
            5,
            "hello 1, subscribe 1, client_reply 2, publish 1, ping 1",
            "without_reply 2, pushes 1",
        ),
        (
            "CLIENT REPLY SKIP\nMONITOR\nPING",
            2,
            "client_reply 1, monitor 1, ping 1",
            "without_reply 2, pushes 1",
        ),
        (
            "CLIENT REPLY OFF\nMONITOR\nPING\nCLIENT REPLY ON\nPING",
            4,
            "client_reply 2, monitor 1, ping 2",
            "without_reply 3, pushes 2",
        ),
        (
            "CLIENT REPLY OFF\nSUBSCRIBE\nCLIENT REPLY ON\nPING",
            2,
            "client_reply 2, subscribe 1, ping 1",
            "without_reply 2",
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
fn what_changes_the_connection_unheard_is_not_followed() {
    run_blind(
        &Redis::start(),
        &[
            // Servers before 7.0.10 do not confirm these.
            (
                "CLIENT REPLY OFF\nSUBSCRIBE a b\nPING",
                2,
                "state_without_reply",
            ),
            (
                "CLIENT REPLY SKIP\nSUBSCRIBE a b\nPING\nPING",
                4,
                "state_without_reply",
            ),
            (
                "CLIENT REPLY OFF\nUNSUBSCRIBE\nCLIENT REPLY ON\nPING",
                3,
                "state_without_reply",
            ),
            (
                "CLIENT REPLY OFF\nHELLO 3\nCLIENT REPLY ON\nHGETALL none",
                2,
                "state_without_reply",
            ),
            (
                "CLIENT REPLY OFF\nMULTI\nCLIENT REPLY ON\nPING\nEXEC\nPING",
                3,
                "state_in_transaction",
            ),
            (
                "MULTI\nCLIENT REPLY OFF\nPING\nEXEC\nPING\nCLIENT REPLY ON\nPING",
                4,
                "state_in_transaction",
            ),
        ],
    );
}

/// It may be refused, and then there is a reply: whose is not known before.
#[test]
fn a_refused_client_reply_is_noticed() {
    let redis = Redis::with(&["user default on nopass ~* &* +@all -client|reply"]);
    run_blind(
        &redis,
        &[
            ("CLIENT REPLY SKIP\nPING", 2, "unexpected_reply"),
            ("CLIENT REPLY SKIP\nPING\nPING", 3, "unexpected_reply"),
            (
                "CLIENT REPLY OFF\nPING\nCLIENT REPLY ON\nPING",
                4,
                "unexpected_reply",
            ),
        ],
    );
    let redis = Redis::with(&["requirepass secret"]);
    run_blind(
        &redis,
        &[
            (
                "CLIENT REPLY SKIP\nAUTH secret\nGET k",
                3,
                "unexpected_reply",
            ),
            ("CLIENT REPLY OFF\nGET k", 2, "unexpected_reply"),
        ],
    );
    run(
        &redis,
        &[
            Script {
                says: "GET k\nAUTH wrong\nGET k\nAUTH secret\nGET k\nAUTH wrong\nGET k",
                values: 7,
                counts: "get 4 2, auth 3 2",
                also: "error_prefix.NOAUTH.total 2, error_prefix.WRONGPASS.total 2",
            },
            Script {
                says: "AUTH secret\nCLIENT REPLY SKIP\nPING\nGET k",
                values: 2,
                counts: "auth 1, client_reply 1, ping 1, get 1",
                also: "without_reply 2",
            },
            Script {
                says: "HELLO 3 AUTH default wrong\nHELLO 3 AUTH default secret SETNAME me\nGET k",
                values: 3,
                counts: "hello 2 1, get 1",
                also: "app.me.cx_total 1",
            },
        ],
    );
}
