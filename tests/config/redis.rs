//! Redis: what is refused, and why.

use insta::assert_snapshot;

use crate::problems;

#[test]
fn what_fits_no_redis_listener_is_refused_with_a_reason() {
    let clusters =
        "clusters:\n  - { name: a, endpoints: ['db1:1'] }\n  - { name: b, endpoints: ['db1:2'] }\n";
    assert_snapshot!(problems(&format!(
        "
listeners:
  - name: tapped
    listen: 127.0.0.1:1
    protocol: redis
    cluster: a
    redis: {{ auth: users, users_file: tests/config/users, routes: [{{ prefix: x, cluster: b }}], mirror: {{ cluster: b }} }}
  - name: routed
    listen: 127.0.0.1:2
    protocol: redis
    cluster: a
    redis:
      mode: collapse
      routes: [{{ prefix: '', cluster: a }}, {{ prefix: x, cluster: b }}, {{ prefix: x, cluster: c }}, {{ prefix: y }}, {{ cluster: b }}]
      mirror: {{ cluster: b, percent: 0 }}
  - name: unguarded
    listen: 127.0.0.1:3
    protocol: redis
    cluster: a
    redis: {{ mode: collapse, users_file: tests/config/users }}
  - {{ name: nobody, listen: '127.0.0.1:4', protocol: redis, cluster: a, redis: {{ mode: collapse, auth: users }} }}
  - {{ name: mistyped, listen: '127.0.0.1:5', protocol: redis, cluster: a, redis: {{ mode: collapse, auth: user, mirror: {{ cluster: a }} }} }}
{clusters}"
    )));
}

/// With one mechanism alone, the time that a login takes tells nothing; and the servers know no users apart.
#[test]
fn users_who_could_not_be_what_the_file_says_are_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let users = "old SCRAM-SHA-1$10000:AQEBAQEBAQEBAQEBAQEBAQ==$AQEBAQEBAQEBAQEBAQEBAQEBAQE=:AQEBAQEBAQEBAQEBAQEBAQEBAQE=\nmapped reader SCRAM-SHA-1$10000:AQEBAQEBAQEBAQEBAQEBAQ==$AQEBAQEBAQEBAQEBAQEBAQEBAQE=:AQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";
    std::fs::write(file.path(), users).unwrap();
    let path = file.path().display().to_string();
    let refused = problems(&format!(
        "listeners:\n  - {{ name: a, listen: '127.0.0.1:1', protocol: redis, cluster: a, redis: {{ mode: collapse, auth: users, users_file: '{path}' }} }}\n\
         clusters:\n  - {{ name: a, endpoints: ['db1:1'] }}\n"
    ));
    let refused = refused.to_string();
    for why in [
        "user `old` has no verifier of SCRAM-SHA-256",
        "user `mapped` has no verifier of SCRAM-SHA-256",
        "the cluster has no credential `reader`",
    ] {
        assert!(refused.contains(why), "{refused}");
    }
}
