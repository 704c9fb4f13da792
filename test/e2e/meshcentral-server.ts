import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { pause, until } from '../until.ts'
import { freePort } from '../ports.ts'

const run = promisify(execFile)

/** Where `install-meshcentral.sh` put the server. A test file ends with the reason where it is not there. */
export function requireMeshCentral(): { module: string } {
  const folder = resolve(process.env['MESHCENTRAL_DIR'] ?? '.e2e')
  const module = join(folder, 'node_modules', 'meshcentral')
  if (existsSync(join(module, 'package.json'))) return { module }
  const missing = `no MeshCentral server in ${folder}: run test/e2e/install-meshcentral.sh (450 MB) or set MESHCENTRAL_DIR`
  t.comment(`skipped: ${missing}`)
  t.plan(0, missing)
  process.exit(0)
}

/** The server must not see a proxy (it would install a package for it) nor the test runner's loaders. */
function cleanEnv(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, ...env } = process.env
  return Object.fromEntries(
    Object.entries(env).filter(([name]) => !/proxy$/i.test(name) && !/^(TAP|_TAPJS|MESHCENTRAL_)/.test(name))
  )
}

const settings = {
  WANonly: true,
  cert: '127.0.0.1',
  portBind: '127.0.0.1',
  exactPorts: true,
  redirPort: 0,
  mpsPort: 0,
  agentTimeStampServer: false,
  fastCert: true,
  autoBackup: false,
  amtManager: false,
  amtScanner: false,
  meshScanner: false,
  selfUpdate: false,
  allowLoginToken: true
}

/** A MeshCentral server of its own folder, for one test file. Loopback only; it ends with this process. */
export class RealMesh {
  readonly port: number
  readonly dir: string
  readonly username = 'admin'
  readonly password = 'Adm1n-pass!'
  private readonly module: string
  private child: ChildProcess | null = null
  private log = ''

  private constructor(module: string, dir: string, port: number) {
    this.module = module
    this.dir = dir
    this.port = port
  }

  /** Installs the configuration and the administrator, and starts; `prepare` before that. */
  static async create(
    module: string,
    config: { domains?: Record<string, object>; settings?: object; prepare?: (mesh: RealMesh) => Promise<void> } = {}
  ): Promise<RealMesh> {
    const dir = mkdtempSync(join(tmpdir(), 'rmm-mesh-'))
    const mesh = new RealMesh(module, dir, await freePort())
    mkdirSync(mesh.data)
    mkdirSync(join(dir, 'files'))
    writeFileSync(
      join(mesh.data, 'config.json'),
      JSON.stringify({
        settings: { ...settings, port: mesh.port, manageAllDeviceGroups: ['user//admin'], ...config.settings },
        domains: { '': { newAccounts: false }, ...config.domains }
      })
    )
    await mesh.account(mesh.username, mesh.password, { admin: true })
    await config.prepare?.(mesh)
    await mesh.start()
    return mesh
  }

  get data(): string {
    return join(this.dir, 'data')
  }
  get url(): string {
    return `https://127.0.0.1:${this.port}`
  }
  get ca(): string {
    return readFileSync(join(this.data, 'root-cert-public.crt'), 'utf8')
  }

  /** Makes an account; the server must be stopped. */
  async account(
    name: string,
    password: string,
    { admin = false, domain }: { admin?: boolean; domain?: string } = {}
  ): Promise<void> {
    const inDomain = domain === undefined ? [] : ['--domain', domain]
    await this.cli('--createaccount', name, '--pass', password, ...inDomain)
    if (admin) await this.cli('--adminaccount', name, ...inDomain)
  }

  /** The server must be stopped. */
  async changePassword(name: string, password: string): Promise<void> {
    await this.cli('--resetaccount', name, '--pass', password)
  }

  /** Replaces the whole database; the server must be stopped. */
  async importDocs(docs: object[]): Promise<void> {
    const file = join(this.dir, 'import.json')
    writeFileSync(file, JSON.stringify(docs))
    await this.cli('--dbimport', file)
  }

  async exportDocs(): Promise<Array<Record<string, any>>> {
    const file = join(this.dir, 'export.json')
    await this.cli('--dbexport', file)
    return JSON.parse(readFileSync(file, 'utf8')) as Array<Record<string, any>>
  }

  /** Writes documents into the database file, newest last; the server must be stopped. */
  putDocs(docs: object[]): void {
    appendFileSync(join(this.data, 'meshcentral.db'), docs.map(doc => `${JSON.stringify(doc)}\n`).join(''))
  }

  /** The database is gone; with `certificates` the server is another installation. The server must be stopped. */
  async wipe({ certificates = false } = {}): Promise<void> {
    const lost = certificates ? /\.(db|crt|key)$/ : /\.db$/
    for (const file of readdirSync(this.data)) if (lost.test(file)) rmSync(join(this.data, file))
    await this.account(this.username, this.password, { admin: true })
  }

  async start(): Promise<void> {
    const args = [
      '--disable-proto=delete',
      this.module,
      '--datapath',
      this.data,
      '--filespath',
      join(this.dir, 'files'),
      '--npmpath',
      '/bin/true',
      '--launch',
      String(process.pid)
    ]
    // The server ends when its stdin does: with this process, whatever happens to it.
    const child = spawn(process.execPath, args, { cwd: this.dir, env: cleanEnv(), stdio: ['pipe', 'pipe', 'pipe'] })
    this.child = child
    const keep = (chunk: Buffer) => {
      this.log = (this.log + chunk.toString('utf8')).slice(-4000)
    }
    child.stdout!.on('data', keep)
    child.stderr!.on('data', keep)
    await until(
      'MeshCentral to start',
      async () => {
        if (child.exitCode !== null) throw new Error(`MeshCentral ended with ${child.exitCode}: ${this.log}`)
        return await this.healthy()
      },
      60_000
    )
  }

  get running(): boolean {
    return this.child !== null && this.child.exitCode === null && this.child.signalCode === null
  }

  async stop(signal: NodeJS.Signals = 'SIGINT'): Promise<void> {
    const child = this.child
    if (!child || !this.running) return
    if (signal === 'SIGINT') await this.written()
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  /** It ends without writing what it still has in hand. */
  private async written(): Promise<void> {
    const size = () => statSync(join(this.data, 'meshcentral.db')).size
    for (let before = -1; before !== size(); await pause(150)) before = size()
  }

  async restart(): Promise<void> {
    await this.stop()
    await this.start()
  }

  /** The platform's own command line client, which nobody here wrote. */
  async meshctrl(...args: string[]): Promise<string> {
    // Into a file: it exits while a pipe may still have to take the rest of a long list.
    const file = join(this.dir, `meshctrl-${randomUUID()}.out`)
    const out = openSync(file, 'w')
    try {
      const child = spawn(
        process.execPath,
        [
          join(this.module, 'meshctrl.js'),
          ...args,
          '--url',
          `wss://127.0.0.1:${this.port}`,
          '--loginuser',
          this.username,
          '--loginpass',
          this.password
        ],
        { cwd: this.dir, env: cleanEnv(), stdio: ['ignore', out, out] }
      )
      const [code] = (await once(child, 'exit')) as [number | null]
      const text = readFileSync(file, 'utf8')
      if (code !== 0) throw new Error(`meshctrl ended with ${code}: ${text.slice(-1000)}`)
      return text
    } finally {
      closeSync(out)
      rmSync(file, { force: true })
    }
  }

  async download(path: string): Promise<Buffer> {
    return await new Promise((resolve, reject) => {
      get(`${this.url}${path}`, { rejectUnauthorized: false }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          response.statusCode === 200
            ? resolve(Buffer.concat(chunks))
            : reject(new Error(`${path}: status ${response.statusCode}`))
        )
      }).on('error', reject)
    })
  }

  async close(): Promise<void> {
    await this.stop()
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 })
  }

  private async healthy(): Promise<boolean> {
    return await this.download('/health.ashx').then(
      body => body.toString() === 'ok',
      () => false
    )
  }

  private async cli(...args: string[]): Promise<void> {
    await run(
      process.execPath,
      [this.module, '--datapath', this.data, '--filespath', join(this.dir, 'files'), '--npmpath', '/bin/true', ...args],
      { cwd: this.dir, env: cleanEnv() }
    )
  }
}
