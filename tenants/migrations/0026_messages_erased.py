from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [("tenants", "0025_end_sessions")]

    operations = [
        migrations.AddField(
            model_name="participant",
            name="messages_erased_at",
            field=models.DateTimeField(blank=True, null=True, verbose_name="messages erased"),
        ),
    ]
