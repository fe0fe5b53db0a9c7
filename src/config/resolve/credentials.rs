//! Who the proxy is to the servers of a cluster.

use super::Resolver;
use crate::config::choices::MONGO_MECHANISMS;
use crate::config::defaults;
use crate::config::field::Field;
use crate::config::file::CredentialFile;
use crate::config::model::{MongoCredential, PasswordSource, RedisCredential};
use crate::config::problem::Place;
use crate::config::{secrets, values};
use crate::secret::Secret;

impl Resolver<'_> {
    pub(super) fn credentials(
        &mut self,
        written: &Field<Vec<Field<CredentialFile>>>,
    ) -> Vec<MongoCredential> {
        let Some(credentials) = written.value() else {
            return Vec::new();
        };
        self.names_are_distinct(
            "credential",
            credentials
                .iter()
                .filter_map(Field::value)
                .map(|credential| &credential.name),
        );
        credentials
            .iter()
            .filter_map(Field::given)
            .filter_map(|(credential, place)| self.credential(credential, place))
            .collect()
    }

    fn credential(&mut self, written: &CredentialFile, place: Place) -> Option<MongoCredential> {
        let CredentialFile {
            name,
            username,
            password_file,
            password_env,
            source,
            mechanism,
        } = written;
        let name = self.required_text(name, "name", place, values::name);
        let username = self.required_text(username, "username", place, values::username);
        let password = self.password(password_file, password_env, place);
        let source = self.text(source, defaults::MONGO_SOURCE.to_owned(), values::database);
        let mechanism = mechanism
            .given()
            .and_then(|(word, place)| self.read(word, place, |word| MONGO_MECHANISMS.read(word)));
        let (password, password_source) = password?;
        Some(MongoCredential {
            name: name?,
            username: username?,
            password,
            password_source,
            source,
            mechanism,
        })
    }

    /// Who a Redis client is that has not said so.
    pub(super) fn redis_credential(
        &mut self,
        username: &Field<String>,
        password_file: &Field<String>,
        password_env: &Field<String>,
    ) -> Option<RedisCredential> {
        let places = [
            username.place(),
            password_file.place(),
            password_env.place(),
        ];
        let place = places.into_iter().flatten().next()?;
        let username = username
            .given()
            .and_then(|(text, place)| self.read(text, place, values::username));
        let (password, password_source) = self.password(password_file, password_env, place)?;
        Some(RedisCredential {
            username,
            password,
            password_source,
        })
    }

    fn password(
        &mut self,
        file: &Field<String>,
        env: &Field<String>,
        place: Place,
    ) -> Option<(Secret, PasswordSource)> {
        match (file, env) {
            (Field::Absent, Field::Absent) => {
                self.problem(
                    place,
                    "no password; `password_file` or `password_env` has to say where it is",
                );
                None
            }
            (Field::Absent, env) => self.password_at(env, |name| {
                let password = secrets::password_from_env(name)?;
                Ok((password, PasswordSource::Environment(name.to_owned())))
            }),
            (file, Field::Absent) => self.password_at(file, |path| {
                let password = secrets::password_from_file(path)?;
                Ok((password, PasswordSource::File(path.into())))
            }),
            (_, env) => {
                let place = env.given().map_or(place, |(_, place)| place);
                self.problem(
                    place,
                    "a second password; leave out `password_file` or `password_env`",
                );
                None
            }
        }
    }

    fn password_at<T>(
        &mut self,
        field: &Field<String>,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let (text, place) = field.given()?;
        self.read(text, place, read)
    }
}
