"""Durable paper accounts in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from services.exchange_simulator.domain.accounts import Account, Changes, Wallet
from services.exchange_simulator.domain.orders import Execution, Holding, Order

FORMAT = 1
# Errors that say nothing of the accounts, which may be sound: an extended code's last byte.
AROUND = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
SCHEMA = """
CREATE TABLE about (format INTEGER NOT NULL, sequence INTEGER NOT NULL);
CREATE TABLE accounts (account TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE holdings (account TEXT, symbol TEXT, body BLOB NOT NULL, PRIMARY KEY (account, symbol));
CREATE TABLE orders (order_id TEXT PRIMARY KEY, account TEXT NOT NULL, link_id TEXT, body BLOB NOT NULL);
CREATE UNIQUE INDEX orders_link ON orders (account, link_id) WHERE link_id IS NOT NULL;
CREATE TABLE executions (
  sequence INTEGER PRIMARY KEY, account TEXT NOT NULL, order_id TEXT NOT NULL, body BLOB NOT NULL
);
"""


class JournalProblem(SystemExit):
    """The state folder holds accounts that this version cannot read; the message says which and what to do."""


class SqliteJournal:
    """A `Journal`. A commit is in the operating system's hands before `save` returns: a killed process loses nothing.

    Write-ahead log with `synchronous=NORMAL`: only a machine that loses power can lose the last commits. The accounts
    are paper, and an answer within a millisecond is worth more here than that.
    """

    def __init__(self, path: Path) -> None:
        """Raises JournalProblem for a file that is of another version, damaged, or cannot be got at."""
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise JournalProblem(
                f"exchange_simulator: {error}; its state needs a folder that may be written"
            ) from error
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from error

    def _open(self) -> None:
        path = self._path
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name='about'").fetchone():
            self._db.executescript(f"BEGIN; {SCHEMA} INSERT INTO about VALUES ({FORMAT}, 0); COMMIT;")
        found, self._sequence = self._db.execute("SELECT format, sequence FROM about").fetchone()
        if found != FORMAT:
            raise JournalProblem(
                f"{path} holds accounts in format {found}, this version reads {FORMAT}; move the file away"
            )

    def _unreadable(self, error: Exception) -> JournalProblem:
        remedy = "move the file away"
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in AROUND:
            remedy = "see that it may be written, has room, and no other process holds it"
        return JournalProblem(f"exchange_simulator: {self._path} cannot be read ({error}); {remedy}")

    def load(self) -> tuple[list[Account], int]:
        """Raises JournalProblem for a damaged file."""
        try:
            return self._load()
        except (sqlite3.DatabaseError, msgspec.DecodeError, KeyError) as error:
            raise self._unreadable(error) from error

    def _load(self) -> tuple[list[Account], int]:
        accounts: dict[str, Account] = {}
        for name, body in self._db.execute("SELECT account, body FROM accounts ORDER BY rowid"):
            accounts[name] = Account(name, msgspec.json.decode(body, type=Wallet))
        for name, symbol, body in self._db.execute("SELECT account, symbol, body FROM holdings"):
            accounts[name].holdings[symbol] = msgspec.json.decode(body, type=Holding)
        for name, body in self._db.execute("SELECT account, body FROM orders ORDER BY rowid"):
            accounts[name].keep(msgspec.json.decode(body, type=Order))
        for name, body in self._db.execute("SELECT account, body FROM executions ORDER BY sequence"):
            accounts[name].executions.append(msgspec.json.decode(body, type=Execution))
        return list(accounts.values()), self._sequence

    def save(self, changes: Sequence[Changes], sequence: int) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for one in changes:
                self._write(one)
            self._db.execute("UPDATE about SET sequence = ?", (sequence,))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._sequence = sequence

    def close(self) -> None:
        self._db.close()

    def _write(self, changes: Changes) -> None:
        encode, run = msgspec.json.encode, self._db.execute
        for order in changes.orders:
            row = (order.order_id, order.account, order.link_id or None, encode(order))
            run("INSERT INTO orders VALUES (?,?,?,?) ON CONFLICT (order_id) DO UPDATE SET body = excluded.body", row)
        for execution in changes.executions:
            run(
                "INSERT INTO executions VALUES (?,?,?,?)",
                (execution.sequence, execution.account, execution.order_id, encode(execution)),
            )
        for symbol, holding in changes.holdings.items():
            run("INSERT OR REPLACE INTO holdings VALUES (?,?,?)", (changes.account, symbol, encode(holding)))
        if changes.wallet is not None:
            upsert = "INSERT INTO accounts VALUES (?,?) ON CONFLICT (account) DO UPDATE SET body = excluded.body"
            run(upsert, (changes.account, encode(changes.wallet)))
