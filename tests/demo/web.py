"""The demo's web service, which stands on the same MongoDB: web.py PORT MONGODB_HOST:PORT serves HTTP/1.1 until it is ended.

Behind narrows it is reached by HTTP/2 as well. What its clients ask for ends in operations of shop.py, call sites and all.
"""

import http.server
import json
import random
import sys

import pymongo

import shop

BODY_LIMIT = 64 * 1024


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A reply in one piece, not head and body apart.
    wbufsize = -1
    shop = None

    def do_GET(self) -> None:
        chance = random.Random()
        match self.path.split("/")[1:]:
            case ["products", kind]:
                self.answer(200, list(self.shop.products.find({"kind": kind}, limit=20, comment="web.product_list")))
            case ["carts", user]:
                cart = self.shop.carts.find_one({"_id": user}, comment="web.cart")
                self.answer(200 if cart else 404, cart or {"error": "there is no such cart"})
            case ["reports", "best-sellers"]:
                shop.best_sellers(self.shop, chance)
                self.answer(200, {"done": True})
            case _:
                self.answer(404, {"error": "there is nothing"})

    def do_POST(self) -> None:
        self.skip_body()
        chance = random.Random()
        match self.path.split("/")[1:]:
            case ["carts", _]:
                shop.add_to_cart(self.shop, chance)
                self.answer(201, {"added": True})
            case ["orders"]:
                shop.place_order(self.shop, chance)
                self.answer(201, {"ordered": True})
            case ["sign-up"]:
                try:
                    shop.sign_up(self.shop, chance)
                    self.answer(201, {"welcome": True})
                except pymongo.errors.DuplicateKeyError:
                    self.answer(409, {"error": "that name is taken"})
            case _:
                self.answer(404, {"error": "there is nothing"})

    def skip_body(self) -> None:
        """What is left of it would be the next request. A client of HTTP/2 need not say how long it is: narrows sends chunks then."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline(64).split(b";")[0], 16):
                self.rfile.read(size + len("\r\n"))
            while self.rfile.readline(1024).strip():
                pass
        elif (length := int(self.headers.get("Content-Length", 0))) <= BODY_LIMIT:
            self.rfile.read(length)
        else:
            self.close_connection = True

    def answer(self, status: int, document) -> None:
        body = json.dumps(document, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        """narrows says it better."""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main(port: str, mongodb: str) -> None:
    Handler.shop = pymongo.MongoClient(f"mongodb://{mongodb}/?directConnection=true&appName=web").shop
    Server(("127.0.0.1", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
