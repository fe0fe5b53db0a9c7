//! Commands about the client's own connection. No server knows it, so the proxy answers.

use bson::cstr;
use bson::raw::{RawArrayBuf, RawDocumentBuf};

use super::operation::{Operation, OwnCommand};
use super::{End, Session};

impl Session<'_> {
    pub(super) async fn own(
        &mut self,
        operation: &Operation,
        command: OwnCommand,
    ) -> Result<(), End> {
        let mut reply = RawDocumentBuf::new();
        match command {
            OwnCommand::ConnectionStatus => {
                let mut who = RawDocumentBuf::new();
                who.append(cstr!("authenticatedUsers"), self.logged_in_users());
                who.append(cstr!("authenticatedUserRoles"), RawArrayBuf::new());
                reply.append(cstr!("authInfo"), who);
            }
            OwnCommand::WhatsMyUri => {
                let peer = self.peer.map(|peer| peer.to_string());
                reply.append(cstr!("you"), peer.unwrap_or_default());
            }
            OwnCommand::Logout => self.identity = self.listener.auth.stranger(),
        }
        reply.append(cstr!("ok"), 1.0);
        self.answer(operation, &reply).await
    }

    fn logged_in_users(&self) -> RawArrayBuf {
        let mut users = RawArrayBuf::new();
        if let Some((name, database)) = self.identity.user() {
            let mut user = RawDocumentBuf::new();
            user.append(cstr!("user"), name);
            user.append(cstr!("db"), database);
            users.push(user);
        }
        users
    }
}
