//===- OutputFile.h - what a user asked to be written -----------*- C++ -*-===//
//
// The one way in which commands write what a user named. A regular file, or one that is not there yet, is
// written beside and renamed, so that nobody ever sees half of it; it keeps the mode and owner that it had,
// and a link stays one: its target is written. Devices and pipes are written in place, and so is a file that
// cannot be replaced. A name of standard output or standard error (/dev/stdout) is written through that
// stream.
//
//===----------------------------------------------------------------------===//
#ifndef ATTUNE_RUNTIME_IO_OUTPUTFILE_H
#define ATTUNE_RUNTIME_IO_OUTPUTFILE_H

#include "compiler/support/Result.h"

#include <string>
#include <string_view>
#include <vector>

namespace attune {

/// Whether `path` can be written to, before any work is done. Gives the file that it stands for, links
/// followed, so that two outputs on one file are seen; empty for a device, which any number may share.
/// The error's message is `expected ..., got ...` alone.
Result<std::string> checkOutput(const std::string &path);
/// The same for a folder that files are to be written to; it need not be there yet.
Status checkOutputFolder(const std::string &path);
/// The same for standard output. A full device is seen here, a full disk only when it is written to.
Status checkStandardOutput();

/// Writes the parts, one after the other. "-" is standard output. Ctrl-C and its like wait until it is done.
Status writeOutput(const std::string &path, const std::vector<std::string_view> &parts);

/// Writes `name` in `folder`, which is made, with its parents, if it is not there.
Status writeOutputIn(const std::string &folder, std::string_view name, std::string_view text);

} // namespace attune

#endif // ATTUNE_RUNTIME_IO_OUTPUTFILE_H
