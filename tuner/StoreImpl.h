//===- StoreImpl.h - SQLite for the store -----------------------*- C++ -*-===//
#ifndef ATTUNE_TUNER_STOREIMPL_H
#define ATTUNE_TUNER_STOREIMPL_H

#include "tuner/Store.h"

#include <algorithm>

#include <sqlite3.h>

namespace attune::tuner {

/// What SQLite's code means for the person whose store it is, and what to do.
Error storeError(const std::string &path, int code, const std::string &text);

/// A prepared statement that binds and reads in order.
class Statement {
public:
  Statement(sqlite3 *db, const char *sql) { code = ::sqlite3_prepare_v2(db, sql, -1, &statement, nullptr); }
  ~Statement() { ::sqlite3_finalize(statement); }
  Statement(const Statement &) = delete;
  Statement &operator=(const Statement &) = delete;

  Statement &bind(const std::string &text) {
    return bound(
        ::sqlite3_bind_text(statement, ++parameter, text.data(), int(text.size()), SQLITE_TRANSIENT));
  }
  Statement &bind(int64_t value) { return bound(::sqlite3_bind_int64(statement, ++parameter, value)); }
  Statement &bind(double value) { return bound(::sqlite3_bind_double(statement, ++parameter, value)); }
  Statement &bind(const std::vector<double> &values) {
    return bound(::sqlite3_bind_blob(statement, ++parameter,
                                     values.empty() ? "" : (const void *)values.data(),
                                     int(values.size() * sizeof(double)), SQLITE_TRANSIENT));
  }
  Statement &bind(const ProblemShape &shape) {
    return bind(shape.batch).bind(shape.headsQ).bind(shape.headsKv).bind(shape.lengthQ).bind(shape.lengthKv);
  }

  /// True: a row can be read. False: the end, or an error (see `failed`).
  bool step() {
    column = 0;
    if (code == SQLITE_OK || code == SQLITE_ROW)
      code = ::sqlite3_step(statement);
    return code == SQLITE_ROW;
  }
  bool failed() const { return code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE; }
  int errorCode() const { return code; }
  /// Runs a statement that gives no rows.
  bool run() {
    step();
    return !failed();
  }

  std::string text() {
    const auto *bytes = (const char *)::sqlite3_column_blob(statement, column);
    int size = ::sqlite3_column_bytes(statement, column++);
    return bytes ? std::string(bytes, size_t(size)) : std::string();
  }
  int64_t whole() { return ::sqlite3_column_int64(statement, column++); }
  double number() { return ::sqlite3_column_double(statement, column++); }
  std::vector<double> numbers() {
    std::string bytes = text();
    std::vector<double> values(bytes.size() / sizeof(double));
    std::copy_n(bytes.data(), values.size() * sizeof(double), reinterpret_cast<char *>(values.data()));
    return values;
  }
  ProblemShape shape() {
    ProblemShape read;
    for (int64_t *field : {&read.batch, &read.headsQ, &read.headsKv, &read.lengthQ, &read.lengthKv})
      *field = whole();
    return read;
  }

private:
  Statement &bound(int result) {
    if (code == SQLITE_OK)
      code = result;
    return *this;
  }
  sqlite3_stmt *statement = nullptr;
  int code = SQLITE_OK, parameter = 0, column = 0;
};

struct Store::Impl {
  sqlite3 *db = nullptr;
  ~Impl() { ::sqlite3_close_v2(db); }

  Error error(const std::string &path, int code) const {
    return storeError(path, code, ::sqlite3_errmsg(db));
  }
  std::optional<int64_t> ask(const char *sql) {
    Statement question(db, sql);
    return question.step() ? std::optional<int64_t>(question.whole()) : std::nullopt;
  }
  /// Whether every page of the file is in order.
  Status check(const std::string &path) {
    Statement question(db, "PRAGMA quick_check(1)");
    if (!question.step())
      return error(path, question.errorCode());
    if (std::string verdict = question.text(); verdict != "ok")
      return storeError(path, SQLITE_CORRUPT, verdict.substr(0, verdict.find('\n')));
    return success();
  }
  int execute(const char *sql) { return ::sqlite3_exec(db, sql, nullptr, nullptr, nullptr); }

  /// The subject's number; it is put if it is not there.
  Result<int64_t> subjectId(const std::string &path, const Subject &subject);
};

} // namespace attune::tuner

#endif // ATTUNE_TUNER_STOREIMPL_H
