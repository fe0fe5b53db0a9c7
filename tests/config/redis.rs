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
