-- Takes over the rows, extra columns, sequences, grants, policies and views of the platform's own table, which stays beside as
-- analytics_events_before_hindcast until somebody drops it. One transaction: the platform sees before or after.
CREATE FUNCTION hindcast_grants(relation regclass) RETURNS TABLE (privilege_type text, grantee text)
LANGUAGE sql
AS $$
    -- Its owner's too: whoever migrates may be somebody else.
    SELECT g.privilege_type, coalesce(quote_ident(r.rolname), 'PUBLIC')
    FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS g
    LEFT JOIN pg_roles AS r
        ON r.oid = g.grantee
    WHERE c.oid = relation AND coalesce(r.rolname <> current_user, true)
$$;

DO $$
DECLARE
    holder text;
    new_sequence text;
    old regclass := 'analytics_events_before_hindcast'::regclass;
    extra record;
    columns_in text;
    columns_out text;
    month_start date;
    rows_before bigint;
    rows_after bigint;
BEGIN
    EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', old);
    FOR extra IN
        SELECT
            a.attname,
            format_type(a.atttypid, a.atttypmod) AS type_name,
            pg_get_expr(d.adbin, d.adrelid) AS default_value,
            a.attidentity <> '' AS is_identity,
            pg_get_serial_sequence('analytics_events_before_hindcast', a.attname) AS sequence_name
        FROM pg_attribute AS a
        LEFT JOIN pg_attrdef AS d
            ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = old AND a.attnum > 0 AND NOT a.attisdropped
            AND NOT EXISTS (
                SELECT FROM pg_attribute AS n
                WHERE n.attrelid = 'analytics_events'::regclass AND n.attname = a.attname AND n.attnum > 0
            )
    LOOP
        EXECUTE format('ALTER TABLE analytics_events ADD COLUMN %I %s', extra.attname, extra.type_name);
        IF extra.is_identity THEN
            -- An identity's sequence cannot change hands, and partitions have identities from PostgreSQL 17 only.
            new_sequence := left('analytics_events_' || extra.attname, 53) || '_numbers';
            EXECUTE format('CREATE SEQUENCE %I OWNED BY analytics_events.%I', new_sequence, extra.attname);
            EXECUTE format('SELECT setval(%L, last_value, is_called) FROM %s', new_sequence, extra.sequence_name);
            EXECUTE format(
                'ALTER TABLE analytics_events ALTER COLUMN %I SET DEFAULT nextval(%L)', extra.attname, new_sequence
            );
            FOR holder IN SELECT DISTINCT grantee FROM hindcast_grants(old) WHERE privilege_type = 'INSERT' LOOP
                EXECUTE format('GRANT USAGE ON SEQUENCE %I TO %s', new_sequence, holder);
            END LOOP;
        ELSIF extra.default_value IS NOT NULL THEN
            EXECUTE format(
                'ALTER TABLE analytics_events ALTER COLUMN %I SET DEFAULT %s', extra.attname, extra.default_value
            );
            IF extra.sequence_name IS NOT NULL THEN
                -- Else dropping the old table would drop it.
                EXECUTE format('ALTER SEQUENCE %s OWNED BY NONE', extra.sequence_name);
            END IF;
        END IF;
    END LOOP;

    IF (SELECT relrowsecurity FROM pg_class WHERE oid = old) THEN
        ALTER TABLE analytics_events ENABLE ROW LEVEL SECURITY;
    END IF;
    FOR extra IN
        SELECT p.*, string_agg(CASE r WHEN 'public' THEN 'PUBLIC' ELSE quote_ident(r) END, ', ') AS grantees
        FROM pg_policies AS p, unnest(p.roles) AS r
        WHERE p.schemaname = 'public' AND p.tablename = 'analytics_events_before_hindcast'
        GROUP BY p.schemaname, p.tablename, p.policyname, p.permissive, p.roles, p.cmd, p.qual, p.with_check
    LOOP
        EXECUTE format(
            'CREATE POLICY %I ON analytics_events AS %s FOR %s TO %s',
            extra.policyname, extra.permissive, extra.cmd, extra.grantees
        ) || coalesce(' USING (' || extra.qual || ')', '') || coalesce(' WITH CHECK (' || extra.with_check || ')', '');
    END LOOP;

    EXECUTE format('SELECT date_trunc(''month'', min(created_at))::date FROM %s', old) INTO month_start;
    WHILE month_start <= (SELECT date_trunc('month', max(created_at)) FROM analytics_events_before_hindcast) LOOP
        PERFORM hindcast_add_month(month_start);
        month_start := (month_start + interval '1 month')::date;
    END LOOP;

    SELECT
        string_agg(quote_ident(o.attname), ', ' ORDER BY o.attnum),
        string_agg(
            CASE
                WHEN o.attname = 'created_at' AND o.atttypid = 'timestamp'::regtype
                    THEN 'created_at AT TIME ZONE ''UTC'''
                WHEN n.atttypid = o.atttypid THEN quote_ident(o.attname)
                ELSE quote_ident(o.attname) || '::' || format_type(n.atttypid, n.atttypmod)
            END,
            ', ' ORDER BY o.attnum
        )
    INTO columns_in, columns_out
    FROM pg_attribute AS o
    INNER JOIN pg_attribute AS n
        ON n.attrelid = 'analytics_events'::regclass AND n.attname = o.attname AND n.attnum > 0
    WHERE o.attrelid = old AND o.attnum > 0 AND NOT o.attisdropped;
    EXECUTE format('INSERT INTO analytics_events (%s) SELECT %s FROM %s', columns_in, columns_out, old);

    EXECUTE format('SELECT count(*) FROM %s', old) INTO rows_before;
    SELECT count(*) INTO rows_after FROM analytics_events;
    IF rows_before <> rows_after THEN
        RAISE EXCEPTION 'adopted % of % rows', rows_after, rows_before;
    END IF;

    FOR extra IN SELECT privilege_type, grantee FROM hindcast_grants(old) LOOP
        EXECUTE format('GRANT %s ON analytics_events TO %s', extra.privilege_type, extra.grantee);
    END LOOP;

    -- Views still look at the old table.
    FOR extra IN
        SELECT DISTINCT r.ev_class::regclass AS name, pg_get_viewdef(r.ev_class) AS definition
        FROM pg_depend AS d
        INNER JOIN pg_rewrite AS r
            ON r.oid = d.objid AND d.classid = 'pg_rewrite'::regclass
        WHERE d.refobjid = old
    LOOP
        EXECUTE format(
            'CREATE OR REPLACE VIEW %s AS %s',
            extra.name, replace(extra.definition, 'analytics_events_before_hindcast', 'analytics_events')
        );
    END LOOP;
END
$$;

DROP FUNCTION hindcast_grants;
