# For a tap. Its address and sum are those of a published release, and there is none yet; until then
# `brew install --HEAD` from a checkout's own address.
class Agentbridge < Formula
  desc "Live Claude Code and Codex sessions in one project work as peers"
  homepage "https://agentbridge.invalid/"
  url "https://agentbridge.invalid/agentbridge-0.1.0.tar.gz"
  sha256 "0000000000000000000000000000000000000000000000000000000000000000"
  license "MIT"
  head "https://agentbridge.invalid/agentbridge.git", branch: "main"

  depends_on "python@3.13"

  # What it needs is pinned by the release's own constraints.txt and fetched by pip. For a formula of
  # Homebrew's own, `brew update-python-resources agentbridge` writes them out as resources.
  def install
    system "python3.13", "-m", "venv", libexec
    system libexec/"bin/python", "-m", "pip", "install", "--constraint", "constraints.txt", buildpath
    bin.install_symlink Dir[libexec/"bin/agentbridge*"]

    system libexec/"bin/python", "packaging/manual.py", "share"
    system libexec/"bin/python", "packaging/completions.py", "share"
    man1.install Dir["share/man/man1/*"]
    man5.install Dir["share/man/man5/*"]
    man8.install Dir["share/man/man8/*"]
    bash_completion.install Dir["share/bash-completion/completions/*"]
    zsh_completion.install Dir["share/zsh/site-functions/*"]
    fish_completion.install Dir["share/fish/vendor_completions.d/*"]
  end

  # As launchd/org.agentbridge.agentbridged.plist has it, under Homebrew's own label.
  service do
    run opt_bin/"agentbridged"
    keep_alive successful_exit: false
    throttle_interval 10
    process_type :interactive
    environment_variables PATH: "#{Dir.home}/.local/bin:#{std_service_path_env}"
    log_path var/"log/agentbridged.log"
    error_log_path var/"log/agentbridged.log"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/agentbridgectl --version")
    assert_match version.to_s, shell_output("#{bin}/agentbridged --version")
    ENV["AGENTBRIDGE_RUNTIME_DIR"] = testpath/"run"
    assert_match "not running", shell_output("#{bin}/agentbridgectl status 2>&1", 3)
  end
end
