# Puts sf-mcp on a Windows machine, for this user, without administrator's rights.
#
#   powershell -ExecutionPolicy Bypass -File install.ps1                    the newest release
#   ... -Version 0.1.0          that release
#   ... -Prefix DIR             into DIR instead of %LOCALAPPDATA%\Programs\sf-mcp
#   ... -BaseUrl URL            from the folder of one release (https, or http on this machine)
#   ... -Uninstall              take it out again
#
# What is downloaded must have the SHA-256 that the release's list SHA256SUMS says.
param(
    [string]$Version = '',
    [string]$Prefix = (Join-Path $env:LOCALAPPDATA 'Programs\sf-mcp'),
    [string]$BaseUrl = $env:SF_MCP_BASE_URL,
    [switch]$Uninstall
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'   # its drawing makes downloads many times slower
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12

# A release fills this in: the address under which its `latest/download` and `download/vVERSION` are.
$Releases = ''

function Stop-Here([string]$Message) {
    [Console]::Error.WriteLine("install.ps1: $Message")
    exit 1
}

function Get-UserPath {
    $path = [Environment]::GetEnvironmentVariable('Path', 'User')
    if ($null -eq $path) { return @() }
    return @($path -split ';' | Where-Object { $_ -ne '' })
}

function Set-UserPath([string[]]$Folders) {
    [Environment]::SetEnvironmentVariable('Path', ($Folders -join ';'), 'User')
}

function Uninstall-Program {
    $program = Join-Path $Prefix 'sf-mcp.exe'
    if (-not (Test-Path $program)) {
        Write-Output "There is no sf-mcp in $Prefix, so nothing was removed."
        return
    }
    try { Remove-Item $program -Force } catch { Stop-Here "$program is in use: close the AI clients that run it, then try again" }
    foreach ($name in 'LICENSE', 'CHANGELOG.md', 'sf-mcp.exe.former') {
        $file = Join-Path $Prefix $name
        if (Test-Path $file) { Remove-Item $file -Force -ErrorAction SilentlyContinue }
    }
    if (-not (Get-ChildItem $Prefix -Force)) { Remove-Item $Prefix }
    Set-UserPath @(Get-UserPath | Where-Object { $_ -ne $Prefix })
    Write-Output "Removed $program. Your sign-in and settings were left alone."
}

function Get-Address {
    if (-not $BaseUrl) {
        if (-not $Releases) { Stop-Here 'this copy does not know where releases are: give -BaseUrl URL' }
        if ($Version) { return "$Releases/download/v$Version" }
        return "$Releases/latest/download"
    }
    $address = $BaseUrl.TrimEnd('/')
    if ($address -notmatch '^https://[^@\s]+$' -and $address -notmatch '^http://(127\.0\.0\.1|localhost|\[::1\])([:/][^@\s]*)?$') {
        Stop-Here "$address is no address that releases come from: it begins with https://"
    }
    return $address
}

function Get-Platform {
    $machine = $env:PROCESSOR_ARCHITEW6432
    if (-not $machine) { $machine = $env:PROCESSOR_ARCHITECTURE }
    switch ($machine) {
        'AMD64' { return 'win32-x64' }
        'ARM64' { return 'win32-arm64', 'win32-x64' }   # Windows on ARM runs both
        default { Stop-Here "there is no build for this processor ($machine)" }
    }
}

function Get-Download([string]$Address, [string]$File) {
    try { Invoke-WebRequest -UseBasicParsing -Uri $Address -OutFile $File }
    catch { Stop-Here "$Address could not be downloaded: $($_.Exception.Message) Nothing was changed" }
}

function Find-Archive([string]$List) {
    foreach ($platform in @(Get-Platform)) {
        foreach ($line in Get-Content $List) {
            if ($line -match "^([0-9a-f]{64})  (sf-mcp-([0-9A-Za-z.+-]+)-$platform\.tar\.gz)$") {
                return @{ Sum = $Matches[1]; Name = $Matches[2]; Version = $Matches[3] }
            }
        }
    }
    Stop-Here "the release has no build for this machine ($(@(Get-Platform) -join ', '))"
}

function Get-InstalledVersion {
    $program = Join-Path $Prefix 'sf-mcp.exe'
    if (-not (Test-Path $program)) { return '' }
    try { return ((& $program --version) -replace '^sf-mcp ', '') } catch { return 'one that does not run' }
}

function Install-Program([string]$Scratch) {
    $address = Get-Address
    $list = Join-Path $Scratch 'SHA256SUMS'
    Get-Download "$address/SHA256SUMS" $list
    $archive = Find-Archive $list
    if ($Version -and $Version -ne $archive.Version) { Stop-Here "the release at $address is $($archive.Version), not $Version" }
    $file = Join-Path $Scratch $archive.Name
    Write-Output "Downloading $($archive.Name)"
    Get-Download "$address/$($archive.Name)" $file
    $found = (Get-FileHash $file -Algorithm SHA256).Hash.ToLowerInvariant()
    if ($found -ne $archive.Sum) {
        Stop-Here "$($archive.Name) is not what the release says: its SHA-256 is $found and should be $($archive.Sum). Nothing was changed"
    }
    & "$env:SystemRoot\System32\tar.exe" -xzf $file -C $Scratch
    if ($LASTEXITCODE -ne 0) { Stop-Here "$($archive.Name) cannot be unpacked. Nothing was changed" }
    $new = Join-Path $Scratch 'sf-mcp.exe'
    $says = & $new --version
    if ($says -ne "sf-mcp $($archive.Version)") { Stop-Here "the program does not run on this machine ($says). Nothing was changed" }

    $before = Get-InstalledVersion
    New-Item -ItemType Directory -Force $Prefix | Out-Null
    $program = Join-Path $Prefix 'sf-mcp.exe'
    $former = "$program.former"
    # A program that runs cannot be overwritten, but it can be renamed; what is left of it goes the next time.
    if (Test-Path $former) { Remove-Item $former -Force -ErrorAction SilentlyContinue }
    if (Test-Path $program) { Move-Item $program $former -Force }
    try { Copy-Item $new $program } catch {
        if (Test-Path $former) { Move-Item $former $program -Force }
        Stop-Here "$program cannot be written: $($_.Exception.Message)"
    }
    if (Test-Path $former) { Remove-Item $former -Force -ErrorAction SilentlyContinue }
    foreach ($name in 'LICENSE', 'CHANGELOG.md') { Copy-Item (Join-Path $Scratch $name) $Prefix -Force }
    $folders = @(Get-UserPath)
    if ($folders -notcontains $Prefix) {
        Set-UserPath ($folders + $Prefix)
        Write-Output "$Prefix is on your PATH in terminals that are opened from now on."
    }
    $replaced = ''
    if ($before) { $replaced = "; it replaced $before" }
    Write-Output "sf-mcp $($archive.Version) is in $program$replaced."
    Write-Output 'Next: sf-mcp demo, then sf-mcp login and sf-mcp install. To undo: install.ps1 -Uninstall'
}

if ($Uninstall) {
    Uninstall-Program
} else {
    $scratch = Join-Path ([IO.Path]::GetTempPath()) ('sf-mcp-' + [Guid]::NewGuid())
    New-Item -ItemType Directory $scratch | Out-Null
    try { Install-Program $scratch } finally { Remove-Item $scratch -Recurse -Force -ErrorAction SilentlyContinue }
}
