create user bookshop password 'kx7-Tanuki-2019';
create database bookshop owner bookshop;
\c bookshop
set role bookshop;
create table books (id int primary key, title text not null, isbn text not null, price int not null);
create table users (id serial primary key, name text unique not null, picture text);
create table orders (id serial primary key, user_id int not null references users, book_id int not null references books, price int not null, at timestamptz not null default now());
create index on orders (user_id);
create table sessions (sid text primary key, user_id int not null, name text not null);
insert into books select n, 'Book number ' || n, '978-4-' || lpad((n * 7919 % 10000000)::text, 7, '0') || '-0', 800 + n * 10 from generate_series(1, 200) n;
