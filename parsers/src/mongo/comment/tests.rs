use super::*;

fn site(comment: &str) -> Option<String> {
    let text = match call_site(comment.as_bytes())? {
        CallSite::Part(part) => comment.as_bytes()[part].to_vec(),
        CallSite::Unescaped(text) => text,
    };
    Some(String::from_utf8(text).unwrap())
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_text_is_the_call_site() {
    assert_eq!(
        site("checkout.load_cart").as_deref(),
        Some("checkout.load_cart")
    );
    assert_eq!(
        site("  src/cart.py:17 load ").as_deref(),
        Some("src/cart.py:17 load")
    );
    assert_eq!(site("page?id='3'").as_deref(), Some("page?id='3'"));
    assert_eq!(site(""), None);
    assert_eq!(site(" \t"), None);
}

#[test]
fn a_json_object_names_the_calling_function() {
    assert_eq!(
        site(r#"{"callingFunction":"cart.load"}"#).as_deref(),
        Some("cart.load")
    );
    let nested = r#" { "a" : [1, {"callingFunction": "no", "b}": "]"}], "c":null, "callingFunction" : "yes" , "d":1}"#;
    assert_eq!(site(nested).as_deref(), Some("yes"));
    assert_eq!(
        site(r#"{"callingFunction":"App\\Cart::load \"x\" \u00e9\ud83d\ude00\/"}"#).as_deref(),
        { Some("App\\Cart::load \"x\" é😀/") }
    );
    assert_eq!(
        site(r#"{"callingFunction":"bad \q \ud83d \u12"}"#).as_deref(),
        Some(r"bad \q \ud83d \u12")
    );
    for none in [
        r#"{"callingFunction":17}"#,
        r#"{"other":"x"}"#,
        "{}",
        "{",
        r#"{"callingFunction":"cut"#,
        r#"{"a":{"#,
    ] {
        assert_eq!(site(none), None, "{none}");
    }
}

#[test]
fn what_tracers_append_is_cut_off() {
    let pairs = format!("cart.load,dddbs='orders',dde='prod',ddps='shop',traceparent='{PARENT}'");
    assert_eq!(site(&pairs).as_deref(), Some("cart.load"));
    assert_eq!(
        site("cart.load /*controller='cart',action='load'*/").as_deref(),
        Some("cart.load")
    );
    assert_eq!(site("dddbs=orders,dde=prod,ddps=shop"), None);
    assert_eq!(site("uber-trace-id:3e1f:2b:0:1"), None);
    assert_eq!(
        site("cart.load uber-trace-id: 3e1f:2b:0:1").as_deref(),
        Some("cart.load")
    );
    assert_eq!(
        site(&format!("cart.load; traceparent: {PARENT}")).as_deref(),
        Some("cart.load")
    );
    assert_eq!(site("b3 report").as_deref(), Some("b3 report"));
}

#[test]
fn a_call_site_is_cut_between_characters() {
    let long = "é".repeat(200);
    let cut = site(&long).unwrap();
    assert_eq!(cut, "é".repeat(128));
    let shifted = format!("a{long}");
    assert_eq!(site(&shifted).unwrap(), format!("a{}", "é".repeat(127)));
    let wide = format!("ab{}", "😀".repeat(100));
    assert_eq!(site(&wide).unwrap(), format!("ab{}", "😀".repeat(63)));
    assert_eq!(clip(b"abc", 2), b"ab");
    // Not UTF-8 at all: nothing to be careful about.
    assert_eq!(clip(&[0x80; 9], 8), &[0x80; 8]);
    let json = format!(r#"{{"callingFunction":"{}"}}"#, "x".repeat(300));
    assert_eq!(site(&json).unwrap().len(), 256);
}

#[test]
fn a_trace_parent_is_found_in_each_notation() {
    for comment in [
        format!("x,traceparent='{PARENT}'"),
        format!("traceparent={PARENT}"),
        format!("cart traceparent: {PARENT} tracestate: a=b"),
        format!(r#"{{"traceparent": "{PARENT}"}}"#),
        format!("traceparent=no, traceparent='{PARENT}'"),
    ] {
        let part = trace_parent(comment.as_bytes()).unwrap();
        assert_eq!(&comment[part], PARENT, "{comment}");
    }
    assert_eq!(trace_parent(b"traceparent='00-short'"), None);
    assert_eq!(trace_parent(b"traceparent"), None);
    assert_eq!(trace_parent(PARENT.as_bytes()), None);
}

#[test]
fn the_shape_of_a_trace_parent_is_checked() {
    assert!(is_trace_parent(PARENT.as_bytes()));
    assert!(is_trace_parent(PARENT.replacen("00", "cc", 1).as_bytes()));
    for bad in [
        PARENT.to_uppercase(),
        PARENT.replacen("00", "ff", 1),
        PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
        PARENT.replace("-01", "-0g"),
        PARENT.replace("-01", "--1"),
        format!("{PARENT}-00"),
        PARENT[..54].to_owned(),
    ] {
        assert!(!is_trace_parent(bad.as_bytes()), "{bad}");
    }
}
