import { useContext, useMemo, useState } from 'preact/hooks'
import type { Client, Organization } from '../../types.ts'
import { Empty, Loading, Notice, Problem } from '../components/basics.tsx'
import { Search, Select } from '../components/field.tsx'
import { useSettled } from '../components/list.tsx'
import { VirtualList } from '../components/virtual-list.tsx'
import { ClientsContext, type Doing, useClientName, useDoing, useLoad, useUi, useUnsaved } from '../context.ts'
import {
  type Choice,
  choiceOf,
  differs,
  type Draft,
  type Effects,
  effectsOf,
  type Node,
  place,
  rowsOf,
  type Shown,
  treeOf
} from './model.ts'
import { effectText, Row } from './row.tsx'
import { Suggestions } from './suggestions.tsx'
import type { PartProps } from '../parts.ts'

export function MappingPage({ connection, reload }: PartProps) {
  const { api, t } = useUi()
  const [count, setCount] = useState(0)
  const url = `connections/${encodeURIComponent(connection.id)}/organizations`
  const organizations = useLoad(url, signal => api.all<Organization>(url, { signal, onProgress: setCount }))
  if (organizations.error !== undefined && organizations.data === undefined)
    return <Problem error={organizations.error} retry={organizations.reload} />
  if (organizations.data === undefined) return <Loading count={count} />
  if (organizations.data.every(({ removedAt }) => removedAt !== null)) return <Empty>{t('mappingEmpty')}</Empty>
  return (
    <Mapping
      connectionId={connection.id}
      organizations={organizations.data}
      onSaved={saved => {
        organizations.set(saved)
        reload()
      }}
    />
  )
}

interface MappingProps {
  connectionId: string
  organizations: Organization[]
  onSaved: (organizations: Organization[]) => void
}

/** The draft over what is stored, and everything that follows from it. */
function useDraft({ connectionId, organizations, onSaved }: MappingProps) {
  const { api, t, locale, announce } = useUi()
  const doing = useDoing()
  const [draft, setDraft] = useState<Draft>(new Map())
  const nodes = useMemo(() => treeOf(organizations, locale), [organizations, locale])
  const before = useMemo(() => place(organizations, new Map()), [organizations])
  const after = useMemo(() => (draft.size === 0 ? before : place(organizations, draft)), [organizations, draft, before])
  const effects = useMemo(() => effectsOf(nodes, draft, before, after), [nodes, draft, before, after])
  useUnsaved(draft.size > 0)
  const choose = (choices: Array<[Organization, Choice]>) => {
    const next = new Map(draft)
    for (const [organization, choice] of choices) {
      if (differs(organization, choice)) next.set(organization.id, choice)
      else next.delete(organization.id)
    }
    setDraft(next)
  }
  const save = () =>
    void doing.run(async () => {
      const mappings = [...draft].map(([organizationId, { mode, clientRef }]) => ({
        organizationId,
        mode,
        ...(mode === 'mapped' ? { clientRef } : {})
      }))
      const { items } = await api.send<{ items: Organization[] }>(
        'PUT',
        `connections/${encodeURIComponent(connectionId)}/mappings`,
        { mappings }
      )
      const stored = new Map(items.map(item => [item.id, item]))
      setDraft(new Map())
      announce(t('saved'))
      onSaved(organizations.map(organization => stored.get(organization.id) ?? organization))
    })
  const incomplete = [...draft.values()].filter(({ mode, clientRef }) => mode === 'mapped' && clientRef === null).length
  return {
    doing,
    draft,
    nodes,
    after,
    effects,
    incomplete,
    choose,
    save,
    discard: () => {
      setDraft(new Map())
      doing.clear()
    }
  }
}

function Mapping(props: MappingProps) {
  const { t } = useUi()
  const { learn } = useContext(ClientsContext)
  const state = useDraft(props)
  const { nodes, draft, choose } = state
  return (
    <>
      <p class='muted'>{t('mappingIntro')}</p>
      <Suggestions
        connectionId={props.connectionId}
        nodes={nodes}
        draft={draft}
        onAccept={accepted => {
          const byId = new Map(props.organizations.map(organization => [organization.id, organization]))
          for (const { client } of accepted) learn(client)
          choose(
            accepted.map(({ organizationId, client }) => [
              byId.get(organizationId)!,
              { mode: 'mapped', clientRef: client.id }
            ])
          )
        }}
      />
      <Tree
        {...state}
        onChoose={(organization, choice, client) => {
          if (client) learn(client)
          choose([[organization, choice]])
        }}
      />
      <SaveBar
        draft={draft}
        effects={state.effects}
        incomplete={state.incomplete}
        doing={state.doing}
        onSave={state.save}
        onDiscard={state.discard}
      />
    </>
  )
}

interface TreeProps {
  nodes: Node[]
  draft: Draft
  after: ReturnType<typeof place>
  effects: Effects
  onChoose: (organization: Organization, choice: Choice, client?: Client) => void
}

function Tree({ nodes, draft, after, effects, onChoose }: TreeProps) {
  const { t } = useUi()
  const clientName = useClientName()
  const [typed, setTyped] = useState('')
  const query = useSettled(typed.trim().toLowerCase(), 150)
  const [shown, setShown] = useState<Shown>('all')
  const [collapsed, setCollapsed] = useState<ReadonlySet<string>>(new Set())
  // While one filters by what is open or changed, a row that was dealt with stays until the filter is set again.
  const kept = useMemo(
    () =>
      new Set(
        nodes.filter(
          ({ organization }) =>
            shown === 'all' ||
            (shown === 'changed'
              ? draft.has(organization.id)
              : after.get(organization.externalId)!.assignment === 'unmapped')
        )
      ),
    [shown, nodes]
  )
  const rows = useMemo(
    () =>
      rowsOf(
        nodes,
        { query, shown, collapsed },
        node =>
          kept.has(node) &&
          matches(node, query, clientName(after.get(node.organization.externalId)!.effectiveClientRef))
      ),
    [nodes, query, shown, collapsed, kept, after, clientName]
  )
  const toggle = (id: string) =>
    setCollapsed(before => {
      const next = new Set(before)
      if (!next.delete(id)) next.add(id)
      return next
    })
  const filtering = query !== '' || shown !== 'all'
  return (
    <section class='card' aria-labelledby='groups'>
      <div class='head'>
        <h2 id='groups'>
          {t('groupList')}{' '}
          <span class='muted small' role='status'>
            {t('countGroups', { count: rows.length })}
          </span>
        </h2>
        {!filtering && (
          <div class='row'>
            <button type='button' class='quiet' onClick={() => setCollapsed(new Set())}>
              {t('expandAll')}
            </button>
            <button
              type='button'
              class='quiet'
              onClick={() =>
                setCollapsed(new Set(nodes.filter(node => node.children.length > 0).map(node => node.organization.id)))
              }
            >
              {t('collapseAll')}
            </button>
          </div>
        )}
      </div>
      <div class='filters'>
        <Search label={t('mappingSearch')} value={typed} onInput={setTyped} />
        <Select
          label={t('mappingFilter')}
          value={shown}
          onChange={setShown}
          options={[
            ['all', t('filterAll')],
            ['open', t('filterOpen')],
            ['changed', t('filterChanged')]
          ]}
        />
      </div>
      {rows.length === 0 && <Empty>{t('mappingNone')}</Empty>}
      <VirtualList
        label={t('groupList')}
        items={rows}
        keyOf={node => node.organization.id}
        levelOf={node => node.depth + 1}
        rowHeight={heightAt}
      >
        {node => (
          <Row
            node={node}
            choice={choiceOf(node.organization, draft)}
            isChanged={draft.has(node.organization.id)}
            effect={effects.by.get(node.organization.id)}
            above={node.parent === null ? undefined : after.get(node.parent.organization.externalId)}
            collapsed={!filtering && collapsed.has(node.organization.id)}
            clientName={clientName}
            onToggle={() => toggle(node.organization.id)}
            onChoose={(choice, client) => onChoose(node.organization, choice, client)}
          />
        )}
      </VirtualList>
    </section>
  )
}

/** Pixels of a row: name, choice and client side by side, or below each other (see `.group` in the style sheet). */
const heightAt = (width: number) => (width < 720 ? 112 : 60)

const matches = ({ organization }: Node, query: string, client: string | null) =>
  query === '' || organization.path.toLowerCase().includes(query) || (client ?? '').toLowerCase().includes(query)

interface SaveBarProps {
  draft: Draft
  effects: Effects
  incomplete: number
  doing: Doing
  onSave: () => void
  onDiscard: () => void
}

/** What saving does, before it is done. */
function SaveBar({ draft, effects, incomplete, doing, onSave, onDiscard }: SaveBarProps) {
  const { t } = useUi()
  if (draft.size === 0) return null
  return (
    <div class='savebar'>
      {doing.error !== undefined && <Problem error={doing.error} retry={onSave} />}
      <div class='row'>
        <p role='status' class='grow'>
          <strong>{t('countChanges', { count: draft.size })}</strong>
          <br />
          {effectText(effects.total, t)}
        </p>
        {incomplete > 0 && <Notice tone='warn'>{t('mappingIncomplete', { count: incomplete })}</Notice>}
        <button type='button' disabled={doing.busy} onClick={onDiscard}>
          {t('discard')}
        </button>
        <button type='button' class='primary' disabled={doing.busy || incomplete > 0} onClick={onSave}>
          {t('saveChanges', { count: draft.size })}
        </button>
      </div>
    </div>
  )
}
