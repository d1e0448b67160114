"""The bookshop: browse, log in, upload a picture, order.  Seven years old, and it shows in what it
imports."""

import hashlib
import socket

from flask import Flask, Response, abort, g, request

from bookshop import db, receipts, sessions, settings, uploads

app = Flask(__name__)
PAGE = "<!doctype html><title>%s</title><link rel=stylesheet href=/static/shop.css><h1>%s</h1>%s"
HOST = socket.gethostname()


@app.before_request
def who():
    g.user = sessions.user_of(request.cookies.get("sid", ""))


@app.after_request
def sign(answer):
    answer.headers["X-Served-By"] = HOST
    if settings.RELEASE_ID:
        answer.headers["X-Release-Id"] = settings.RELEASE_ID
    return answer


def member():
    if g.user is None:
        abort(401, "please log in")
    return g.user


@app.get("/health")
def health():
    db.one("select 1")
    return "ok\n"


@app.get("/")
def home():
    books = db.all("select id, title from books order by id limit 12")
    return PAGE % (
        "Bookshop",
        "Books",
        "".join('<p><a href="/books/%d">%s</a>' % book for book in books),
    )


@app.get("/books/<int:book>")
def show_book(book):
    row = db.one("select title, isbn, price from books where id = %s", book)
    if row is None:
        abort(404)
    return PAGE % (row[0], row[0], "<p>ISBN %s<p>%d yen" % (row[1], row[2]))


@app.post("/login")
def login():
    name = request.form["name"]
    user = db.one(
        "insert into users (name) values (%s) on conflict (name) do update set name = "
        "excluded.name returning id",
        name,
    )[0]
    answer = Response("welcome %s\n" % name)
    answer.set_cookie("sid", sessions.begin(user, name), httponly=True)
    return answer


@app.get("/me")
def me():
    user, name = member()
    orders = db.one("select count(*) from orders where user_id = %s", user)[0]
    return "name=%s orders=%d picture=%s\n" % (name, orders, uploads.digest(user))


@app.post("/picture")
def upload():
    user, _ = member()
    body = request.get_data()
    uploads.keep(user, body)
    return hashlib.sha1(body).hexdigest() + "\n"


@app.get("/picture")
def picture():
    user, _ = member()
    return Response(uploads.fetch(user), mimetype="image/png")


@app.post("/orders")
def order():
    user, name = member()
    book = int(request.form["book"])
    price = db.one("select price from books where id = %s", book)[0]
    receipt = receipts.write(name, book, price)
    number = db.one(
        "insert into orders (user_id, book_id, price) values (%s, %s, %s) returning id",
        user,
        book,
        price,
    )[0]
    return "order=%d\n%s\n" % (number, receipt)


@app.get("/orders")
def orders():
    user, _ = member()
    return "".join(
        "order=%d\n" % row
        for row in db.all("select id from orders where user_id = %s order by id", user)
    )
