"""Creates users at a mongod with --auth: root first, who needs no login, then the others, as JSON lists of
database, name, password and mechanisms."""

import json
import sys

from pymongo import MongoClient

host, users = sys.argv[1], json.loads(sys.argv[2])
with MongoClient(host, directConnection=True) as client:
    client.admin.command("createUser", "root", pwd="root-of-the-test", roles=["root"])
with MongoClient(host, directConnection=True, username="root", password="root-of-the-test") as client:
    for database, name, password, mechanisms in users:
        roles = [{"role": "root", "db": "admin"}]
        client[database].command("createUser", name, pwd=password, roles=roles, mechanisms=mechanisms)
print(json.dumps(len(users)))
