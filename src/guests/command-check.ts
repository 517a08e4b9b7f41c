/**
 * A shell's own words about an `exec` that fails name the shell and a line of its script. This looks first, by the shell's built-in
 * commands alone: sets `_nexus_why` to what a user would be told of "$1" at a prompt, empty when it can be executed, and
 * `_nexus_code` to the exit code that goes with it.
 */
export const commandCheck = `
_nexus_code=126 _nexus_why=
case $1 in
*/*)
  if [ -d "$1" ]; then _nexus_why='Is a directory'
  elif [ ! -e "$1" ]; then _nexus_why='No such file or directory' _nexus_code=127
  elif [ ! -x "$1" ]; then _nexus_why='Permission denied'
  fi ;;
*)
  _nexus_left=$PATH: _nexus_why='command not found' _nexus_code=127
  while [ -n "$_nexus_left" ]; do
    _nexus_file=\${_nexus_left%%:*}
    _nexus_file=\${_nexus_file:-.}/$1
    _nexus_left=\${_nexus_left#*:}
    [ -f "$_nexus_file" ] || continue
    [ ! -x "$_nexus_file" ] || { _nexus_why= && break; }
    _nexus_why='Permission denied' _nexus_code=126
  done ;;
esac
[ -z "$_nexus_why" ] || _nexus_why="$1: $_nexus_why"
`;

/** Says that and ends, when there is something to say. */
export const commandRefusal = `[ -z "$_nexus_why" ] || { printf '%s\\n' "$_nexus_why" >&2; exit "$_nexus_code"; }`;
