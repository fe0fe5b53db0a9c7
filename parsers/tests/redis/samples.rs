//! Requests as clients send them, and replies as servers give them. Each is one message.

use crate::build::*;

pub(crate) fn requests() -> Vec<Vec<u8>> {
    let long: Vec<u8> = (0..=255).cycle().take(300).collect();
    let mut requests = vec![
        command("PING"),
        command("GET cart:1017"),
        request(&[b"SET", b"k\r\n", b"$3\r\n*1\r\n", b"EX", b"60"]),
        request(&[b"SET", &long, &long]),
        request(&[b"ECHO", b""]),
        request(&[b""]),
        command("XREADGROUP GROUP g c COUNT 10 BLOCK 1000 NOACK STREAMS a b c d e f"),
        command("HELLO 3 AUTH default secret SETNAME shop"),
    ];
    for inline in [
        "PING\r\n",
        "PING\n",
        "  get\t \"cart \\x41\\n\\\"\"  'it\\'s'\r\n",
        "set k \"\"\r\n",
        "a b c d e f g h i j k l m\r\n",
        "get \"\\xZ\\x4\\q\" '\\n'\r\n",
        "\rPING\x0b\r\n",
    ] {
        requests.push(inline.into());
    }
    // What asks for nothing stands in front of what asks.
    for nothing in [
        "\r\n",
        "\n",
        " \t\r\n",
        "*0\r\n",
        "*-1\r\n",
        "*-17\r\n",
        "\r\n*0\r\n\n",
    ] {
        requests.push([nothing.as_bytes(), &command("GET a")].concat());
        requests.push([nothing.as_bytes(), b"get a\r\n"].concat());
    }
    requests
}

pub(crate) fn replies() -> Vec<Vec<u8>> {
    let mut replies = values();
    let one_of_each = values();
    for kind in ['*', '~', '>'] {
        replies.push(aggregate(kind, &[]));
        replies.push(aggregate(kind, &one_of_each));
    }
    replies.push(pairs('%', &[]));
    replies.push(pairs('%', &[&one_of_each[..], &one_of_each].concat()));
    for kind in ['*', '~', '%'] {
        replies.push(streamed(kind, &[]));
        replies.push(streamed(kind, &[&one_of_each[..], &one_of_each].concat()));
    }
    let attribute = pairs('|', &[bulk(b"ttl"), line(':', "3600")]);
    let speaks = [&attribute[..], b"+of\r\n"].concat();
    let nested = pairs('|', &[speaks.clone(), aggregate('*', &[speaks])]);
    for attribute in [&attribute, &nested, &pairs('|', &[])] {
        replies.push([&attribute[..], b"+OK\r\n"].concat());
        replies.push([&attribute[..], attribute, b"$-1\r\n"].concat());
        replies.push(
            [
                attribute.clone(),
                aggregate('>', &[bulk(b"invalidate"), line('_', "")]),
            ]
            .concat(),
        );
        let value = [&attribute[..], b":7\r\n"].concat();
        replies.push(aggregate('*', &[value.clone(), value.clone()]));
        replies.push(streamed('*', std::slice::from_ref(&value)));
        replies.push([attribute.clone(), pairs('%', &[value.clone(), value])].concat());
    }
    let deep = (0..50).fold(line(':', "1"), |inner, depth| match depth % 4 {
        0 => aggregate('*', &[inner, bulk(b"after")]),
        1 => pairs('%', &[line('+', "key"), inner]),
        2 => streamed('~', &[inner]),
        _ => aggregate('*', &[inner]),
    });
    replies.push(deep);
    replies.push(aggregate(
        '>',
        &[bulk(b"message"), bulk(b"news"), bulk(b"text")],
    ));
    replies.push(aggregate(
        '>',
        &[bulk(b"subscribe"), bulk(b"news"), line(':', "1")],
    ));
    replies.push(aggregate(
        '*',
        &[bulk(b"unsubscribe"), b"$-1\r\n".to_vec(), line(':', "0")],
    ));
    replies
}

/// A value of each type, and of each form of it.
fn values() -> Vec<Vec<u8>> {
    let big: Vec<u8> = (0..=255).cycle().take(300).collect();
    let long = "long ".repeat(40);
    let mut values = vec![
        bulk(b""),
        bulk(b"text"),
        bulk(b"\r\n$3\r\n"),
        bulk(&big),
        counted('!', b"SYNTAX invalid\r\nsyntax"),
        counted('=', b"txt:Some string"),
        counted('=', b"mkd:"),
        streamed_text(&[]),
        streamed_text(&[b"a", b"\r\n;0\r\n", &big]),
        b"$-1\r\n".to_vec(),
        b"*-1\r\n".to_vec(),
    ];
    for (kind, text) in [
        ('+', "OK"),
        ('+', ""),
        ('+', &long),
        ('-', "ERR unknown command 'x'"),
        ('-', "MOVED 3999 127.0.0.1:6381"),
        ('-', "WRONGTYPE"),
        (':', "0"),
        (':', "-1"),
        (':', "+17"),
        (':', "9223372036854775807"),
        (':', "-9223372036854775808"),
        ('_', ""),
        ('#', "t"),
        ('#', "f"),
        (',', "1.23"),
        (',', "-inf"),
        (',', "nan"),
        ('(', "3492890328409238509324850943850943825024385"),
    ] {
        values.push(line(kind, text));
    }
    values
}
