import scaiwave.ids
from django.db import migrations, models


class Migration(migrations.Migration):
    """Replaces the table, which contains only what is built again within a minute."""

    dependencies = [
        ('tenants', '0015_admin_texts'),
    ]

    operations = [
        migrations.DeleteModel(name='StoredOverview'),
        migrations.CreateModel(
            name='StoredOverview',
            fields=[
                ('id', models.UUIDField(default=scaiwave.ids.new_id, editable=False, primary_key=True, serialize=False)),
                ('scope', models.CharField(default='server', max_length=250)),
                ('built_at', models.DateTimeField()),
                ('document', models.JSONField()),
            ],
            options={
                'verbose_name': 'stored overview',
                'db_table': 'sw_overview',
                'constraints': [models.UniqueConstraint(fields=('scope',), name='sw_overview_scope')],
            },
        ),
    ]
