# Homebrew's formula: a release fills in the words in capitals (packaging/homebrew/fill.py) and it goes into a tap.
class SfMcp < Formula
  desc "Service Fusion for AI clients: an MCP server for one company"
  homepage "REPOSITORY"
  version "VERSION"
  license any_of: ["Apache-2.0", "MIT"]

  on_macos do
    url "REPOSITORY/releases/download/vVERSION/sf-mcp-VERSION-darwin-universal.tar.gz"
    sha256 "SHA256_DARWIN_UNIVERSAL"
  end

  on_linux do
    on_intel do
      url "REPOSITORY/releases/download/vVERSION/sf-mcp-VERSION-linux-x64.tar.gz"
      sha256 "SHA256_LINUX_X64"
    end
    on_arm do
      url "REPOSITORY/releases/download/vVERSION/sf-mcp-VERSION-linux-arm64.tar.gz"
      sha256 "SHA256_LINUX_ARM64"
    end
  end

  def install
    bin.install "sf-mcp"
    man1.install Dir["man/*.1"]
    bash_completion.install "completions/sf-mcp.bash" => "sf-mcp"
    zsh_completion.install "completions/_sf-mcp"
    fish_completion.install "completions/sf-mcp.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/sf-mcp --version")
    assert_match "search_jobs", shell_output("#{bin}/sf-mcp tools --home #{testpath}")
  end
end
