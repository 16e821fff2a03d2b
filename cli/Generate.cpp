//===- Generate.cpp - attune generate -------------------------------------===//
//
// The manual page and the shells' completions, written from the options that the commands declare: what
// --help says, they say.
//
//===----------------------------------------------------------------------===//
#include "cli/CommandLine.h"
#include "cli/Output.h"

#include <algorithm>
#include <cctype>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace attune::cli {

namespace {

/// What may stand behind an option.
enum class Takes { Nothing, Words, File, Folder, Other };

struct OptionText {
  std::vector<std::string> flags; ///< with their dashes; empty: a positional argument
  std::string name;               ///< of a positional argument
  std::string value, help, group; ///< "ptx|cuda", what --help says
  Takes takes = Takes::Nothing;
  std::vector<std::string> words;
};

struct CommandText {
  std::vector<std::string> path; ///< {"cache", "list"}; empty: attune itself
  std::string help, footer;
  std::vector<OptionText> options;
  std::vector<CommandText> commands;

  std::string name() const { return path.empty() ? "" : path.back(); }
};

/// "auto|cuda|sim" as its words; nothing if one of them stands for something.
std::vector<std::string> wordsOf(const std::string &value) {
  std::vector<std::string> words(1);
  for (char c : value) {
    if (c == '|')
      words.emplace_back();
    else if (std::islower(static_cast<unsigned char>(c)) || std::isdigit(static_cast<unsigned char>(c)))
      words.back() += c;
    else
      return {};
  }
  return words.size() > 1 ? words : std::vector<std::string>();
}

OptionText describe(const CLI::Option &option) {
  OptionText text;
  for (const std::string &name : option.get_snames())
    text.flags.push_back("-" + name);
  for (const std::string &name : option.get_lnames())
    text.flags.push_back("--" + name);
  text.help = option.get_description();
  text.group = option.get_group();
  if (option.get_positional())
    text.name = option.get_name(true);
  if (option.get_expected_max() == 0)
    return text;
  text.value = option.get_type_name();
  const std::string &shown = text.flags.empty() ? text.name : text.value;
  text.words = wordsOf(text.value);
  bool isFile = shown == "FILE" || shown == "SPEC" || shown.ends_with(".npy");
  text.takes = !text.words.empty() ? Takes::Words
               : isFile            ? Takes::File
               : shown == "DIR"    ? Takes::Folder
                                   : Takes::Other;
  return text;
}

CommandText describe(const CLI::App &app, std::vector<std::string> path) {
  CommandText text;
  text.path = std::move(path);
  text.help = app.get_description();
  text.footer = app.get_footer();
  for (const CLI::Option *option : app.get_options())
    text.options.push_back(describe(*option));
  for (const CLI::App *command : app.get_subcommands({})) {
    std::vector<std::string> below = text.path;
    below.push_back(command->get_name());
    text.commands.push_back(describe(*command, below));
  }
  return text;
}

/// Calls `see` for the command and all below it.
void walk(const CommandText &command, const std::function<void(const CommandText &)> &see) {
  see(command);
  for (const CommandText &below : command.commands)
    walk(below, see);
}

std::string joined(const std::vector<std::string> &words, const char *between) {
  return fmt::format("{}", fmt::join(words, between));
}

//===----------------------------------------------------------------------===//
// The manual page
//===----------------------------------------------------------------------===//

/// Text that roff takes as it stands.
std::string roff(std::string_view text) {
  std::string result;
  bool lineBegins = true;
  for (char c : text) {
    if (lineBegins && (c == '.' || c == '\''))
      result += "\\&";
    result += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
    lineBegins = c == '\n';
  }
  return result;
}

std::string manOptions(const CommandText &command) {
  std::string text;
  for (const OptionText &option : command.options) {
    std::string name = option.flags.empty() ? fmt::format("\\fI{}\\fR", roff(option.name))
                                            : fmt::format("\\fB{}\\fR", roff(joined(option.flags, ", ")));
    if (!option.value.empty())
      name += fmt::format(" \\fI{}\\fR", roff(option.value));
    text += fmt::format(".TP\n{}\n{}\n", name, roff(option.help));
  }
  return text;
}

std::string manual(const CommandText &root) {
  std::string text = fmt::format(".TH ATTUNE 1 \"\" \"attune {}\"\n.SH NAME\nattune \\- {}\n.SH SYNOPSIS\n"
                                 ".B attune\n.I COMMAND\n[\\fIOPTION\\fR...]\n.SH COMMANDS\n",
                                 ATTUNE_VERSION, roff(root.help.substr(root.help.find(": ") + 2)));
  for (const CommandText &command : root.commands)
    text += fmt::format(".TP\n\\fB{}\\fR\n{}\n", command.name(), roff(command.help));
  text += ".SH OPTIONS\n" + manOptions(root);
  walk(root, [&](const CommandText &command) {
    if (command.path.empty())
      return;
    text += fmt::format(".SH \"ATTUNE {}\"\n{}.\n{}", roff(joined(command.path, " ")), roff(command.help),
                        manOptions(command));
    if (!command.footer.empty())
      text += fmt::format(".PP\n.nf\n{}\n.fi\n", roff(command.footer));
  });
  return text + fmt::format(".SH NOTES\n.nf\n{}\n.fi\n", roff(root.footer));
}

//===----------------------------------------------------------------------===//
// Completions
//===----------------------------------------------------------------------===//

/// One function that knows the command that was typed so far, and what its options take.
std::string bash(const CommandText &root) {
  std::string commands, options, values;
  walk(root, [&](const CommandText &command) {
    std::string path = joined(command.path, " ");
    std::vector<std::string> below, flags;
    for (const CommandText &one : command.commands)
      below.push_back(one.name());
    bool takesFile = false;
    for (const OptionText &option : command.options) {
      flags.insert(flags.end(), option.flags.begin(), option.flags.end());
      takesFile |= option.flags.empty() && option.takes == Takes::File;
      if (option.flags.empty() || option.takes == Takes::Nothing)
        continue;
      std::string what = option.takes == Takes::Words    ? fmt::format("-W '{}'", joined(option.words, " "))
                         : option.takes == Takes::File   ? "-f"
                         : option.takes == Takes::Folder ? "-d"
                                                         : "-W ''";
      std::vector<std::string> cases;
      for (const std::string &flag : option.flags)
        cases.push_back(fmt::format("'{} {}'", path, flag));
      values += fmt::format("    {}) COMPREPLY=($(compgen {} -- \"$current\")); return ;;\n",
                            joined(cases, "|"), what);
    }
    commands += fmt::format("    '{}') commands='{}' ;;\n", path, joined(below, " "));
    options += fmt::format("    '{}') options='{}' files='{}' ;;\n", path, joined(flags, " "),
                           takesFile ? "yes" : "");
  });
  return fmt::format(R"(# bash completion of attune; made by `attune generate bash`
_attune() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
  local path='' commands='' options='' files='' word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$path" in
{}    esac
    [[ " $commands " == *" $word "* ]] && path=${{path:+$path }}$word
  done
  commands=''
  case "$path" in
{}  esac
  case "$path $before" in
{}  esac
  case "$path" in
{}  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [[ -n $commands ]]; then
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
  elif [[ -n $files ]]; then
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _attune attune
)",
                     commands, commands, values, options);
}

std::string zsh(const CommandText &root) {
  auto escaped = [](std::string_view text) {
    std::string result;
    for (char c : text) {
      if (c == '[' || c == ']' || c == ':' || c == '\\')
        result += '\\';
      result += c == '\'' ? "'\\''" : std::string(1, c);
    }
    return result;
  };
  std::string functions;
  walk(root, [&](const CommandText &command) {
    std::string name = "_attune" + (command.path.empty() ? "" : "_" + joined(command.path, "_"));
    std::string lines;
    for (const OptionText &option : command.options) {
      std::string action = option.takes == Takes::Words    ? fmt::format("({})", joined(option.words, " "))
                           : option.takes == Takes::File   ? "_files"
                           : option.takes == Takes::Folder ? "_files -/"
                                                           : " ";
      for (const std::string &flag : option.flags)
        lines += fmt::format(
            " \\\n    '*{}[{}]{}'", flag, escaped(option.help),
            option.takes == Takes::Nothing ? "" : fmt::format(":{}:{}", escaped(option.value), action));
      if (option.flags.empty() && command.commands.empty())
        lines += fmt::format(" \\\n    ':{}:{}'", escaped(option.name), action);
    }
    if (command.commands.empty()) {
      functions += fmt::format("{}() {{\n  _arguments -s{}\n}}\n", name, lines);
      return;
    }
    std::string below, cases;
    for (const CommandText &one : command.commands) {
      below += fmt::format(" \\\n      '{}:{}'", one.name(), escaped(one.help));
      cases += fmt::format("    {}) {}_{} ;;\n", one.name(), name, one.name());
    }
    functions += fmt::format("{}() {{\n  local line state\n  _arguments -C -s{} \\\n    '1: :->command' "
                             "'*:: :->rest'\n  if [[ $state == command ]]; then\n    local -a "
                             "commands=({})\n    _describe command commands\n  elif [[ $state == rest ]]; "
                             "then\n    case $line[1] in\n{}    esac\n  fi\n}}\n",
                             name, lines, below, cases);
  });
  return "#compdef attune\n# zsh completion of attune; made by `attune generate zsh`\n" + functions +
         "_attune \"$@\"\n";
}

std::string fish(const CommandText &root) {
  auto escaped = [](std::string text) {
    std::erase_if(text, [](char c) { return c == '\'' || c == '\\'; });
    return text;
  };
  std::string text = "# fish completion of attune; made by `attune generate fish`\ncomplete -c attune -f\n";
  walk(root, [&](const CommandText &command) {
    std::string condition;
    std::vector<std::string> below;
    for (const CommandText &one : command.commands)
      below.push_back(one.name());
    for (const std::string &word : command.path)
      condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ", word);
    std::string here = condition;
    if (!below.empty())
      here += fmt::format("{}not __fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ",
                          joined(below, " "));
    std::string when = here.empty() ? "" : fmt::format(" -n '{}'", here);
    for (const CommandText &one : command.commands)
      text += fmt::format("complete -c attune{} -a {} -d '{}'\n", when, one.name(), escaped(one.help));
    for (const OptionText &option : command.options) {
      std::string line;
      for (const std::string &flag : option.flags)
        line += flag.starts_with("--") ? fmt::format(" -l {}", flag.substr(2))
                                       : fmt::format(" -s {}", flag.substr(1));
      if (option.flags.empty() && option.takes == Takes::File)
        line = " -F";
      else if (option.flags.empty())
        continue;
      else if (option.takes == Takes::Words)
        line += fmt::format(" -x -a '{}'", joined(option.words, " "));
      else if (option.takes == Takes::File)
        line += " -r -F";
      else if (option.takes == Takes::Folder)
        line += " -x -a '(__fish_complete_directories)'";
      else if (option.takes == Takes::Other)
        line += " -x";
      text += fmt::format("complete -c attune{}{} -d '{}'\n", when, line, escaped(option.help));
    }
  });
  return text;
}

} // namespace

Run addGenerate(CLI::App &parent) {
  auto line = CommandLine::add(parent, "generate", "print the manual page, or a shell's completions");
  line->option("WHAT", "man|bash|zsh|fish", "what to print");
  line->option("-o", "FILE", "where to write it (standard output)");
  return [line, &parent] {
    constexpr std::string (*const texts[])(const CommandText &) = {manual, bash, zsh, fish};
    size_t what = line->choice("WHAT", {"man", "bash", "zsh", "fish"}, 0);
    if (!line->has("WHAT"))
      line->lacking("WHAT", "man, bash, zsh or fish");
    std::string output = line->output("-o", CommandLine::Dash::StandardOutput);
    if (Status good = line->problems(); !good)
      return report(good.error());
    Status wrote = writeOutput(output.empty() ? "-" : output, {texts[what](describe(parent, {}))});
    return wrote ? 0 : report(wrote.error());
  };
}

} // namespace attune::cli
