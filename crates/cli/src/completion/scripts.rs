//! The scripts. Each asks the tool, and hands on what it says.

const BASH: &str = r#"# bash completion for TOOL
_TOOL_complete() {
    local line words current broken directive= candidates=()
    # bash takes words apart at ':' and '=', and puts back the part behind the last of them only.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    current=${words[${#words[@]}-1]}
    broken=${current##*[:=]}
    while IFS= read -r line; do
        case $line in
            :*) directive=${line#:} ;;
            *) line=${line%%$'\t'*}; candidates+=("${line#"${current%"$broken"}"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
    COMPREPLY=("${candidates[@]}")
    case $directive in
        nospace) compopt -o nospace 2>/dev/null ;;
        files) compopt -o default 2>/dev/null ;;
    esac
}
complete -F _TOOL_complete TOOL
"#;

const ZSH: &str = r#"#compdef TOOL
# zsh completion for TOOL
_TOOL() {
    local line directive
    local -a candidates abouts
    while IFS= read -r line; do
        case $line in
            :*) directive=${line#:} ;;
            *) candidates+=("${line%%$'\t'*}"); abouts+=("${line/$'\t'/  }") ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    case $directive in
        files) _files ;;
        nospace) compadd -S '' -- $candidates ;;
        *) compadd -l -d abouts -- $candidates ;;
    esac
}
compdef _TOOL TOOL
"#;

const FISH: &str = r#"# fish completion for TOOL
function __TOOL_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answer ($words[1] __complete $words[2..-1] "$current" 2>/dev/null)
    if contains -- :files $answer
        __fish_complete_path "$current"
    end
    string match -v -r '^:' -- $answer
end
complete -c TOOL -f -a '(__TOOL_complete)'
"#;

const POWERSHELL: &str = r#"# PowerShell completion for TOOL
Register-ArgumentCompleter -Native -CommandName 'TOOL' -ScriptBlock {
    param($current, $ast, $position)
    $words = @($ast.CommandElements | ForEach-Object { "$_" })
    $before = @($words | Select-Object -Skip 1)
    if ($current -ne '') { $before = @($before | Select-Object -SkipLast 1) }
    & $words[0] __complete @before "$current" 2>$null | Where-Object { $_ -notlike ':*' } | ForEach-Object {
        $word, $about = $_ -split "`t", 2
        if (-not $about) { $about = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $about)
    }
}
"#;

/// The script of a shell for a tool.
pub(super) fn script(shell: &str, tool: &str) -> String {
    let script = match shell {
        "bash" => BASH,
        "zsh" => ZSH,
        "fish" => FISH,
        _ => POWERSHELL,
    };
    script.replace("TOOL", tool)
}
