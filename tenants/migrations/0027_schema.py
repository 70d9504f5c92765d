from django.db import migrations, models

from scaiwave.storage.serve_from import ServeFrom


class Migration(migrations.Migration):

    dependencies = [("tenants", "0026_messages_erased")]

    operations = [
        migrations.CreateModel(
            name="SchemaState",
            fields=[
                ("number", models.PositiveSmallIntegerField(default=1, editable=False, primary_key=True, serialize=False)),
                ("oldest_served", models.CharField(help_text="such as 0.4.0", max_length=32)),
            ],
            options={
                "db_table": "sw_schema",
                "constraints": [models.CheckConstraint(condition=models.Q(("number", 1)), name="sw_schema_only_one")],
            },
        ),
        ServeFrom("0.4.0"),
    ]
